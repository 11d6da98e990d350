// Chats that do not expire, and lists of chats that live as long as their chats.
import { chatLifetimes } from '../../src/session/chat-lifetime.ts';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { TTL_MS_MAX } from '../../src/broker/broker.ts';
import { Runs } from '../../src/session/runs.ts';
import { ENDLESS_TTL_MS, SESSION_TTL_MAX_MS, Sessions } from '../../src/session/sessions.ts';
import { UserLimits } from '../../src/session/stores/user-limits.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { allTopics, ENGINES } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';

const DAY = 24 * 60 * 60 * 1000;
const PROMPT = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

function endless({ broker, log, clock }: ChatRig): { readonly sessions: Sessions; readonly runs: Runs } {
  const limits = new UserLimits({ broker, log, clock, sessionsMax: 10, runsMax: 10, chatTtlMs: ENDLESS_TTL_MS });
  let ids = 0;
  return {
    sessions: new Sessions(broker, log, clock, chatLifetimes(ENDLESS_TTL_MS), limits),
    runs: new Runs(broker, log, clock, () => `e${(ids += 1)}`, chatLifetimes(ENDLESS_TTL_MS), limits),
  };
}

describe.each(ENGINES)('on the engine %s', (_name, open) => {
  it('a chat without an end has no expiresAt, is listed by its last activity, and nothing that belongs to it ends', async () => {
    const rig = new ChatRig(await open(redis));
    onTestFinished(() => rig.close());
    const { sessions, runs } = endless(rig);
    const other = { tenant: 'default', sessionId: 's2' };
    await sessions.create(rig.alice, rig.ref, {});
    await rig.clock.advance(1000);
    await sessions.create(rig.alice, other, {});
    await rig.clock.advance(1000);
    const { position } = await runs.send(rig.alice, rig.ref, PROMPT);
    await rig.cursors.store(rig.alice, rig.ref, 'reader', position);
    const summary = await sessions.describe(rig.alice, rig.ref);
    expect(summary).not.toHaveProperty('expiresAt');
    expect(summary.lastActiveAt).toBe(new Date(rig.clock.now()).toISOString());
    const { sessions: listed } = await sessions.list(rig.alice, 10, undefined);
    expect(listed.map(({ sessionId }) => sessionId)).toEqual(['s1', 's2']);
    const infos = await rig.broker.describe(await allTopics(rig.broker));
    const ttls = infos.map((info) => [info?.topic.split('/')[0], info?.ttlMs]);
    expect(ttls.toSorted()).toEqual([
      ['chat', TTL_MS_MAX],
      ['chat', TTL_MS_MAX],
      ['chats', TTL_MS_MAX],
      ['cursors', TTL_MS_MAX],
      ['request', TTL_MS_MAX],
      // Only counts runs: what a user has queued for a month does not count.
      ['runs', 30 * DAY],
    ]);
    await sessions.remove(rig.alice, rig.ref);
    expect((await sessions.list(rig.alice, 10, undefined)).sessions.map(({ sessionId }) => sessionId)).toEqual(['s2']);
  });

  it('a chat may have its own end although chats have none, and none keeps a list that was made when they had', async () => {
    const rig = new ChatRig(await open(redis));
    onTestFinished(() => rig.close());
    await rig.sessions.create(rig.alice, rig.ref, {});
    const { sessions } = endless(rig);
    const [short, long] = ['short', 'long'].map((sessionId) => ({ tenant: 'default', sessionId }));
    if (short === undefined || long === undefined) throw new Error('two refs');
    await sessions.create(rig.alice, short, { ttlMs: 60_000 });
    await sessions.create(rig.alice, long, {});
    expect((await sessions.describe(rig.alice, short)).expiresAt).toBe(
      new Date(rig.clock.now() + 60_000).toISOString(),
    );
    // A node that has the setting no more names a chat: the list gets the shorter TTL until it is read.
    await rig.sessions.create(rig.alice, { tenant: 'default', sessionId: 'later' }, {});
    const listTtl = async (): Promise<unknown> =>
      (await rig.broker.describe(await allTopics(rig.broker, 'chats')))[0]?.ttlMs;
    expect(await listTtl()).toBe(2 * 365 * DAY);
    await rig.sessions.list(rig.alice, 10, undefined);
    expect(await listTtl()).toBe(TTL_MS_MAX);
  });
});

it('a list of chats is kept by its readers while a chat of it is used for years', async () => {
  const rig = new ChatRig();
  onTestFinished(() => rig.close());
  await rig.sessions.create(rig.alice, rig.ref, { ttlMs: SESSION_TTL_MAX_MS });
  for (let days = 0; days < 3 * 365; days += 200) {
    await rig.clock.advance(200 * DAY);
    await rig.sessions.update(rig.alice, rig.ref, { title: `day ${days}` });
    expect((await rig.sessions.list(rig.alice, 10, undefined)).sessions).toHaveLength(1);
  }
});
