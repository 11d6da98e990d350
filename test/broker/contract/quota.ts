// The contract on accounts and their quotas: what counts, what is refused, and what never is.
import { describe, expect, test } from 'vitest';
import type { Broker, TopicWrite } from '../../../src/broker/broker.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import type { Quota } from '../../../src/broker/quota.ts';
import type { ReachedQuota } from '../../../src/broker/errors.ts';
import { eventually } from '../../support/wait-for.ts';
import { Random } from '../../worlds/random.ts';
import { append, infoOf, isMissing, major, minor, outcome, topicName, write, type OpenSubject } from './subject.ts';

/** The account of `chat/<account>:<name>`; other topics have none. */
export function accountOf(topic: LiteTopicName): string | undefined {
  return /^chat\/([^:]+):/.exec(topic)?.[1];
}

const ONE = topicName('chat/acme:one');
const TWO = topicName('chat/acme:two');
const THREE = topicName('chat/acme:three');
const OF_OTHER = topicName('chat/other:one');

function make(broker: Broker, topic: LiteTopicName, quota: Quota, rest: Partial<TopicWrite> = {}): Promise<unknown> {
  return broker.append([write(topic, major('12345'), { expect: { absent: true }, quota, ...rest })]);
}

async function refusal(promise: Promise<unknown>): Promise<(ReachedQuota & { readonly code: string }) | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (!isBrokerError(error) || error.reached === undefined) throw error;
    return { code: error.code, ...error.reached };
  }
}

/** What an account holds, as a refused write tells it. */
export async function usageOf(broker: Broker, account: string): Promise<{ topics: number; bytes: number }> {
  const topic = topicName(`chat/${account}:usage`);
  const used = async (quota: Quota): Promise<number> => (await refusal(make(broker, topic, quota)))?.used ?? NaN;
  return { topics: await used({ topics: 0 }), bytes: await used({ bytes: 0 }) };
}

/** What the topics hold, as their descriptions say, and the bytes beside them. */
export async function countedUsage(
  broker: Broker,
  topics: ReadonlyMap<LiteTopicName, number>,
): Promise<{ topics: number; bytes: number }> {
  const infos = await broker.describe([...topics.keys()]);
  const alive = infos.filter((info) => info !== undefined);
  return {
    topics: alive.length,
    bytes: alive.reduce((sum, { topic, bytes }) => sum + bytes + (topics.get(topic) ?? 0), 0),
  };
}

/** Changes the topics of an account at random. Returns the bytes beside each. */
export async function changeAtRandom(
  broker: Broker,
  random: Random,
  steps: number,
  beside = new Map<LiteTopicName, number>(),
): Promise<Map<LiteTopicName, number>> {
  const names = ['a', 'b', 'c', 'd'].map((name) => topicName(`chat/acme:${name}`));
  for (let step = 0; step < steps; step += 1) {
    const topic = random.pick(names);
    const [info] = await broker.describe([topic]);
    const kind = random.between(0, 4);
    if (info === undefined || kind === 0) {
      await append(broker, topic, minor('x'.repeat(random.between(0, 8)), 'y'), { ttlMs: 1_000_000 });
      if (info === undefined) beside.set(topic, 0);
    } else if (kind === 1) {
      await broker.remove(topic);
    } else if (kind === 2) {
      const { next } = await append(broker, topic, minor('old', 'older'));
      await append(broker, topic, major('new'), { supersedes: [[next - 2, next - 1]] });
    } else {
      beside.set(topic, random.between(0, 99));
      await append(broker, topic, major('b'), { besideBytes: beside.get(topic) ?? 0 });
    }
  }
  return beside;
}

export function quotaContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('a quota of an account', () => {
    topicsContract(open);
    bytesContract(open);
    creationsContract(open);

    test('belongs to one write of an append, which expects an epoch or no topic', async () => {
      const { broker } = await open();
      const made = write(ONE, major('a'), { quota: { topics: 1 } });
      expect(await outcome(broker.append([made]))).toBe('invalid-append');
      expect(await outcome(broker.append([{ ...made, besideBytes: -1, expect: { absent: true } }]))).toBe(
        'invalid-append',
      );
      const beside = { ...made, topic: topicName('request/acme:one'), expect: { absent: true } } as const;
      expect(await outcome(broker.append([{ ...made, expect: { absent: true } }, beside]))).toBe('invalid-append');
    });
  });

  test('an account holds what its topics hold, after any history', async () => {
    const { broker, reopen } = await open();
    const random = new Random(7);
    let engine = broker;
    const beside = new Map<LiteTopicName, number>();
    for (let part = 0; part < 4; part += 1) {
      await changeAtRandom(engine, random, 12, beside);
      expect(await usageOf(engine, 'acme')).toEqual(await countedUsage(engine, beside));
      if (!reopens) continue;
      engine = await reopen();
      expect(await usageOf(engine, 'acme')).toEqual(await countedUsage(engine, beside));
    }
  });
}

function topicsContract(open: OpenSubject): void {
  test('on topics refuses one more, and counts a removed or an expired topic no more', async () => {
    const { broker, clock } = await open();
    const quota = { topics: 2 };
    await make(broker, ONE, quota);
    await make(broker, TWO, quota, { ttlMs: 60_000 });
    const full = { code: 'quota-reached', quota: 'topics', limit: 2, used: 2 };
    expect(await refusal(make(broker, THREE, quota))).toEqual(full);
    expect(await isMissing(broker, THREE)).toBe(true);
    await make(broker, OF_OTHER, quota);
    await broker.remove(ONE);
    await make(broker, THREE, quota);
    expect(await refusal(make(broker, ONE, quota))).toEqual(full);
    await clock.advance(60_000);
    await eventually(() => isMissing(broker, TWO));
    await make(broker, ONE, quota);
    expect(await refusal(make(broker, TWO, quota))).toEqual(full);
  });

  test('on topics accepts exactly as many of the writes that come at the same moment', async () => {
    const { broker } = await open();
    const names = Array.from({ length: 8 }, (_, i) => topicName(`chat/acme:${i}`));
    const refused = await Promise.all(names.map((name) => refusal(make(broker, name, { topics: 3 }))));
    expect(refused.filter((one) => one === undefined)).toHaveLength(3);
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 3, bytes: 15 });
  });
}

function bytesContract(open: OpenSubject): void {
  test('on bytes counts live records and what is beside them, and refuses what adds to them', async () => {
    const { broker } = await open();
    const quota = { bytes: 20 };
    await make(broker, ONE, quota, { besideBytes: 7 });
    const { epoch } = await infoOf(broker, ONE);
    const more = (text: string, rest: Partial<TopicWrite> = {}): Promise<unknown> =>
      broker.append([write(ONE, major(text), { expect: { epoch }, quota, ...rest })]);
    const full = { code: 'quota-reached', quota: 'bytes', limit: 20, used: 12 };
    expect(await refusal(more('123456789'))).toEqual(full);
    expect(await refusal(more('', { besideBytes: 16 }))).toEqual(full);
    expect((await infoOf(broker, ONE)).next).toBe(1);
    await more('ü12345', { besideBytes: 7 });
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 1, bytes: 19 });
    await append(broker, ONE, [], { besideBytes: 0 });
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 1, bytes: 12 });
  });

  test('is no obstacle to a write that does not name it, to a removal, and to a write that adds nothing', async () => {
    const { broker } = await open();
    await make(broker, ONE, {});
    const { epoch } = await append(broker, ONE, minor('token'));
    const quota = { topics: 0, bytes: 0, creations: { perSecond: 1, burst: 1 } };
    await broker.append([write(ONE, [], { expect: { epoch }, quota, ttlMs: 5_000 })]);
    await append(broker, ONE, major('the end'), { supersedes: [[1, 1]] });
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 1, bytes: 12 });
    expect(await broker.remove(ONE)).toBe(true);
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 0, bytes: 0 });
  });
}

function creationsContract(open: OpenSubject): void {
  test('on creations lets a burst pass, then one after the other, and says when', async () => {
    const { broker, clock } = await open();
    const quota = { creations: { perSecond: 0.5, burst: 2 } };
    await make(broker, ONE, quota);
    await make(broker, TWO, quota);
    await broker.remove(TWO);
    const early = { code: 'quota-rate-reached', quota: 'creations', limit: 2, used: 2, retryAfterMs: 2000 };
    expect(await refusal(make(broker, TWO, quota))).toEqual(early);
    await clock.advance(1500);
    expect(await refusal(make(broker, TWO, quota))).toEqual({ ...early, retryAfterMs: 500 });
    await clock.advance(500);
    await make(broker, TWO, quota);
    expect(await refusal(make(broker, THREE, quota))).toEqual(early);
    await clock.advance(60_000);
    await make(broker, THREE, quota);
  });

  test('on creations counts no write that its topic refuses', async () => {
    const { broker } = await open();
    const quota = { creations: { perSecond: 0.5, burst: 2 } };
    await make(broker, ONE, quota);
    expect(await outcome(make(broker, ONE, quota))).toBe('conflict');
    await make(broker, TWO, quota);
    expect(await outcome(make(broker, THREE, quota))).toBe('quota-rate-reached');
  });
}
