// The quotas of a tenant in commands: what a user adds is refused, and whatever ends or releases something is not.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { randomId } from '../../src/base/random.ts';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { isBrokerError } from '../../src/broker/errors.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { randomEpoch } from '../../src/broker/open-broker.ts';
import type { Quota } from '../../src/broker/quota.ts';
import { openRedisBroker } from '../../src/broker/redis/open-redis-broker.ts';
import { Attachments } from '../../src/session/attachments/attachments.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { accountOf } from '../../src/session/topic-names.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis-server.ts';

const ANN = { tenant: 'acme', user: 'ann' };
const PROMPT = { content: 'x'.repeat(500), agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
const chat = (sessionId: string, tenant = 'acme') => ({ tenant, sessionId });

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

const inMemory = (clock: Clock): BrokerEngine => new MemoryBroker({ clock, newEpoch: randomEpoch, accountOf });
const onRedis = (clock: Clock): Promise<BrokerEngine> =>
  openRedisBroker({
    nodes: [server.url],
    prefix: randomEpoch(),
    partitions: 4,
    promise: 'memory',
    clockDecides: true,
    clock,
    newEpoch: randomEpoch,
    accountOf,
    onError: (error) => {
      throw error;
    },
  });

async function openRig(open: (clock: Clock) => BrokerEngine | Promise<BrokerEngine>) {
  const clock = new ManualClock();
  const broker = await open(clock);
  onTestFinished(() => broker.close());
  const rig: { quota: Quota | undefined } = { quota: undefined };
  const log = new CommandLog(
    broker,
    () => 0,
    undefined,
    () => rig.quota,
  );
  const attachments = new Attachments(broker.blobs, log, clock, randomId, { sessionBytesMax: 1_000_000 });
  const sessions = new Sessions(broker, log, clock, undefined, undefined, attachments);
  const runs = new Runs(broker, log, clock, randomId);
  const upload = (bytes: number) =>
    attachments.upload(ANN, chat('one'), { name: 'a', mediaType: 'text/plain', bytes }, pieces(bytes));
  return Object.assign(rig, { clock, sessions, runs, attachments, upload });
}

async function* pieces(bytes: number): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(bytes);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'accepted';
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    return `${error.code} ${error.reached?.quota}`;
  }
}

describe.each([
  ['in memory', inMemory],
  ['on Redis', onRedis],
])('the quotas of a tenant %s', (_where, open) => {
  it('a tenant with as many chats as it may have gets no other, by a request or by a prompt, until one is deleted', async () => {
    const rig = await openRig(open);
    rig.quota = { topics: 2 };
    await rig.sessions.create(ANN, chat('one'), {});
    await rig.runs.send(ANN, chat('two'), PROMPT);
    expect(await codeOf(rig.sessions.create(ANN, chat('three'), {}))).toBe('quota-reached topics');
    expect(await codeOf(rig.runs.send(ANN, chat('three'), PROMPT))).toBe('quota-reached topics');
    expect(await codeOf(rig.runs.send(ANN, chat('one'), PROMPT))).toBe('accepted');
    expect(await codeOf(rig.sessions.create({ ...ANN, tenant: 'b' }, chat('one', 'b'), {}))).toBe('accepted');
    await rig.sessions.remove(ANN, chat('one'));
    expect(await codeOf(rig.sessions.create(ANN, chat('three'), {}))).toBe('accepted');
  });

  it('a tenant that makes chats too fast is told when the next may be made', async () => {
    const rig = await openRig(open);
    rig.quota = { creations: { perSecond: 0.5, burst: 1 } };
    await rig.sessions.create(ANN, chat('one'), {});
    expect(await codeOf(rig.sessions.create(ANN, chat('two'), {}))).toBe('quota-rate-reached creations');
    await rig.clock.advance(2000);
    expect(await codeOf(rig.sessions.create(ANN, chat('two'), {}))).toBe('accepted');
  });

  it('counts attachments in the bytes of a tenant, and no longer when they are removed', async () => {
    const rig = await openRig(open);
    await rig.sessions.create(ANN, chat('one'), {});
    rig.quota = { bytes: 60_000 };
    const { attachmentId } = await rig.upload(40_000);
    expect(await codeOf(rig.upload(30_000))).toBe('quota-reached bytes');
    await rig.attachments.remove(ANN, chat('one'), attachmentId);
    expect(await codeOf(rig.upload(30_000))).toBe('accepted');
    expect(await codeOf(rig.upload(30_000))).toBe('quota-reached bytes');
    await rig.sessions.remove(ANN, chat('one'));
    await rig.sessions.create(ANN, chat('one'), {});
    expect(await codeOf(rig.upload(50_000))).toBe('accepted');
  });

  it('a full tenant can stop, withdraw, remove and retry, and its workers can begin and end runs', async () => {
    const rig = await openRig(open);
    const ref = chat('one');
    await rig.sessions.create(ANN, ref, {});
    const { attachmentId } = await rig.upload(100);
    const [first, second, third] = [
      await rig.runs.send(ANN, ref, { ...PROMPT, messageId: 'm1' }),
      await rig.runs.send(ANN, ref, PROMPT),
      await rig.runs.send(ANN, ref, PROMPT),
    ];
    rig.quota = { topics: 0, bytes: 0, creations: { perSecond: 0.001, burst: 1 } };
    expect(await codeOf(rig.runs.send(ANN, ref, PROMPT))).toBe('quota-reached bytes');
    expect(await codeOf(rig.runs.edit(ANN, ref, third.messageId, 'y', () => undefined))).toBe('quota-reached bytes');
    expect(await codeOf(rig.sessions.update(ANN, ref, { title: 't' }))).toBe('quota-reached bytes');
    expect(await rig.runs.send(ANN, ref, { ...PROMPT, messageId: 'm1' })).toEqual(first);
    await rig.runs.withdraw(ANN, ref, third.messageId);
    expect((await rig.runs.cancel(ANN, ref, second.runId)).ended).toBe(true);
    await rig.runs.noteBlocked(ref, first.runId, 1, 5);
    expect((await rig.runs.cancel(ANN, ref, first.runId)).ended).toBe(true);
    await rig.attachments.remove(ANN, ref, attachmentId);
    await rig.sessions.remove(ANN, ref);
  });
});
