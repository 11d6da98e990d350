// What the policies of chats do to chats, on every engine: per tenant, by their mode, and at their hard maximum.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { topicPolicies } from '../../src/broker/topic-policy.ts';
import { chatLifetimes } from '../../src/session/chat-lifetime.ts';
import { PENDING_RUN_TTL_MS } from '../../src/session/commands/chat-ttl.ts';
import { Runs } from '../../src/session/runs.ts';
import { ENDLESS_TTL_MS, Sessions } from '../../src/session/sessions.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { allTopics, ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';

const DAY = 24 * 60 * 60 * 1000;
const PROMPT = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
const POLICIES = topicPolicies(
  new Map([
    ['chat/*', { ttl: { ms: 2 * DAY, hardMax: 10 * DAY } }],
    ['chat/acme:*', { ttl: { mode: 'absolute', ms: 3 * DAY, max: 4 * DAY } }],
  ]),
);

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

async function openRig(open: OpenEngine, defaultMs = 30 * DAY) {
  const rig = new ChatRig(await open(redis));
  onTestFinished(() => rig.close());
  const { broker, log, clock } = rig;
  const lifetimeOf = chatLifetimes(defaultMs, POLICIES);
  let ids = 0;
  const sessions = new Sessions(broker, log, clock, lifetimeOf);
  const runs = new Runs(broker, log, clock, () => `p${(ids += 1)}`, lifetimeOf);
  return { rig, broker, clock, sessions, runs, alice: rig.alice };
}

describe.each(ENGINES)('on the engine %s, a chat', (_name, open) => {
  it('gets the TTL of its tenant, unless its client requests another within the bounds', async () => {
    const { broker, clock, sessions, runs, alice } = await openRig(open);
    const acme = { user: 'alice', tenant: 'acme' };
    const now = clock.now();
    const chats = ['a', 'b', 'c'].map((sessionId) => ({ tenant: 'acme', sessionId }));
    const [made, asked, tooLong] = chats;
    if (made === undefined || asked === undefined || tooLong === undefined) throw new Error('three chats');
    await sessions.create(acme, made, {});
    await sessions.create(acme, asked, { ttlMs: DAY });
    await sessions.create(acme, tooLong, { ttlMs: 90 * DAY });
    const other = { tenant: 'default', sessionId: 'other' };
    await runs.send(alice, other, PROMPT);
    const infos = await broker.describe([...chats, other].map(chatTopic));
    expect(infos.map((info) => (info?.expiresAt ?? 0) - now)).toEqual([3 * DAY, DAY, 4 * DAY, PENDING_RUN_TTL_MS]);
    expect(infos.map((info) => info?.ttlMode)).toEqual(['absolute', 'absolute', 'absolute', undefined]);
    expect(infos.map((info) => info?.endsAt)).toEqual([undefined, undefined, undefined, now + 10 * DAY]);
  });

  it('of the mode absolute ends on time although it is used', async () => {
    const { clock, sessions, broker } = await openRig(open);
    const acme = { user: 'alice', tenant: 'acme' };
    const ref = { tenant: 'acme', sessionId: 'a' };
    await sessions.create(acme, ref, {});
    await clock.advance(2 * DAY);
    await sessions.update(acme, ref, { title: 'used' });
    const { expiresAt, lastActiveAt, createdAt } = await sessions.describe(acme, ref);
    expect(Date.parse(expiresAt ?? '') - Date.parse(createdAt)).toBe(3 * DAY);
    expect(lastActiveAt).toBe(createdAt);
    await clock.advance(DAY);
    await eventually(async () => (await allTopics(broker, 'chat')).length === 0);
  });

  it('with a run that nobody serves is kept for as long as runs are, and ends at the hard maximum', async () => {
    const { broker, clock, runs, alice, sessions } = await openRig(open, ENDLESS_TTL_MS);
    const ref = { tenant: 'default', sessionId: 's1' };
    await runs.send(alice, ref, PROMPT);
    await clock.advance(PENDING_RUN_TTL_MS - 1);
    await runs.send(alice, ref, PROMPT);
    expect((await sessions.describe(alice, ref)).queued).toBe(1);
    const { expiresAt, createdAt } = await sessions.describe(alice, ref);
    expect(Date.parse(expiresAt ?? '') - Date.parse(createdAt)).toBe(10 * DAY);
    await clock.advance(10 * DAY - PENDING_RUN_TTL_MS);
    expect(await allTopics(broker, 'chat')).toHaveLength(1);
    await clock.advance(1000);
    await eventually(async () => (await allTopics(broker, 'chat')).length === 0);
  });

  it('leaves nothing when it is removed, whatever its mode', async () => {
    const { broker, clock, sessions, runs } = await openRig(open);
    const acme = { user: 'alice', tenant: 'acme' };
    const ref = { tenant: 'acme', sessionId: 'a' };
    await runs.send(acme, ref, PROMPT);
    await clock.advance(2 * DAY);
    await sessions.remove(acme, ref);
    await clock.advance(1000);
    await eventually(async () => (await allTopics(broker)).every((name) => !name.endsWith('acme:a')));
  });
});
