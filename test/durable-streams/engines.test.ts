// Durable streams on every engine: what is appended is read back from each token, nodes that append at once take turns,
// times to live slide or do not, and a stream that is made again is another one.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { randomEpoch } from '../../src/broker/open-broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import type { Quota } from '../../src/broker/quota.ts';
import { StreamLog } from '../../src/durable-streams/stream-log.ts';
import type { LoadedStream, StreamConfig } from '../../src/durable-streams/stream-records.ts';
import { resolveOffset } from '../../src/durable-streams/stream-reads.ts';
import { decideAppend, type AppendRequest, type StreamState } from '../../src/durable-streams/stream-rules.ts';
import { accountOf, streamTopic } from '../../src/session/topic-names.ts';
import { ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis-server.ts';

const TOPIC = streamTopic({ tenant: 'acme', user: 'ann' }, 'notes/one');
const CONFIG: StreamConfig = { name: 'notes/one', type: 'text/plain' };
const REQUEST: AppendRequest = {
  type: 'text/plain',
  hasData: true,
  closes: false,
  seq: undefined,
  producer: undefined,
};
const NONE = Buffer.alloc(0);

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

async function openRig(open: OpenEngine) {
  const { broker, clock } = await open(redis);
  onTestFinished(() => broker.close());
  const node = (): StreamLog => new StreamLog({ broker, clock, quotaOf: () => undefined });
  return { broker, clock, log: node(), other: node() };
}

/** 'appended', or the code of the refusal. */
async function append(log: StreamLog, text: string, request: Partial<AppendRequest> = {}): Promise<string> {
  const asked = { ...REQUEST, hasData: text !== '', ...request };
  const answer = await log.change(TOPIC, ({ state, config }) => {
    const decision = decideAppend(state, config.type, asked);
    if (decision.kind !== 'append')
      return { unchanged: decision.kind === 'refused' ? decision.refusal.code : decision.kind };
    return { data: Buffer.from(text), after: decision.after, answer: () => 'appended' };
  });
  return answer ?? 'missing';
}

async function make(log: StreamLog, config = CONFIG, state: StreamState = {}, data = NONE): Promise<LoadedStream> {
  const made = await log.create(TOPIC, config, state, data);
  if (made === undefined) throw new Error('it exists');
  return made;
}

async function textFrom(log: StreamLog, count: number): Promise<string> {
  let text = '';
  for (let at = count; ;) {
    const stream = await log.load(TOPIC);
    if (stream === undefined) throw new Error('no stream');
    const chunk = await log.read(stream, at);
    if (typeof chunk === 'string') throw new Error(chunk);
    text += Buffer.concat(chunk.appends).toString();
    if (chunk.next === stream.tail) return text;
    at = chunk.next;
  }
}

describe.each(ENGINES)('durable streams on %s', (_name, open) => {
  it('return from each token exactly what follows it', async () => {
    const { log, other } = await openRig(open);
    await make(log, CONFIG, {}, Buffer.from('a'));
    const texts = ['b', 'c'.repeat(700_000), 'ü', 'd'.repeat(600_000)];
    const tails = [0, 1];
    for (const text of texts) {
      expect(await append(log, text)).toBe('appended');
      tails.push((await other.load(TOPIC))?.tail ?? -1);
    }
    const whole = ['a', ...texts];
    for (const [i, tail] of tails.entries()) expect(await textFrom(other, tail)).toBe(whole.slice(i).join(''));
  });

  it('let nodes that append at once take turns, each by the newest state', async () => {
    const { log, other } = await openRig(open);
    await make(log);
    const seqs = Array.from({ length: 10 }, (_, i) => `${i}`);
    const answers = await Promise.all([log, other].flatMap((node) => seqs.map((seq) => append(node, seq, { seq }))));
    expect(answers.filter((one) => one === 'appended').length).toBe((await log.load(TOPIC))?.tail);
    const text = await textFrom(log, 0);
    // Every number that was accepted rose, although two nodes decided.
    expect(text).toBe(Array.from(new Set(text)).toSorted().join(''));
  });

  it('take a request of a producer once, whichever nodes its retries reach', async () => {
    const { log, other } = await openRig(open);
    await make(log);
    const producer = { id: 'p', epoch: 0, seq: 0 };
    const answers = await Promise.all([log, other, log, other].map((node) => append(node, 'x', { producer })));
    expect(answers.toSorted()).toEqual(['appended', 'done', 'done', 'done']);
    expect(await textFrom(log, 0)).toBe('x');
  });

  it('are refused only what the newest state refuses, whatever a node has cached', async () => {
    const { log, other } = await openRig(open);
    await make(log);
    const producer = (seq: number) => ({ producer: { id: 'p', epoch: 0, seq } });
    expect(await append(log, 'a', producer(0))).toBe('appended');
    expect(await append(other, 'b', producer(1))).toBe('appended');
    // `log` holds the state after the first request. A refusal is thrown, as the gateway does it.
    const taken = await log.change(TOPIC, ({ state, config }) => {
      const decision = decideAppend(state, config.type, { ...REQUEST, ...producer(2) });
      if (decision.kind !== 'append') throw new Error(decision.kind);
      return { data: Buffer.from('c'), after: decision.after, answer: () => 'appended' };
    });
    expect(taken).toBe('appended');
    await expect(
      log.change(TOPIC, () => {
        throw new Error('refused');
      }),
    ).rejects.toThrow('refused');
  });

  it('keep the token of the end when they are closed', async () => {
    const { log, other } = await openRig(open);
    await make(log, CONFIG, {}, Buffer.from('a'));
    expect(await append(log, '', { closes: true })).toBe('appended');
    const closed = await other.load(TOPIC);
    expect(closed).toMatchObject({ tail: 1, state: { closed: true } });
    expect(await append(other, 'b')).toBe('stream-closed');
    expect(await append(other, '', { closes: true })).toBe('done');
    expect(await textFrom(other, 0)).toBe('a');
  });

  it('are others when they are made again, and refuse the tokens of before', async () => {
    const { log, other } = await openRig(open);
    const { epoch } = await make(log, CONFIG, {}, Buffer.from('old'));
    expect(await other.load(TOPIC)).toBeDefined();
    expect(await log.remove(TOPIC)).toBe(true);
    expect(await append(other, 'x')).toBe('missing');
    const again = await make(log, CONFIG, {}, Buffer.from('new'));
    expect(await log.create(TOPIC, CONFIG, {}, NONE)).toBeUndefined();
    expect(resolveOffset(again, { count: 1, epoch })).toBe('gone');
    expect(await append(other, '!')).toBe('appended');
    expect(await textFrom(other, 0)).toBe('new!');
  });

  it('live on while they are read or written, and end when nobody does', async () => {
    const { clock, log } = await openRig(open);
    await make(log, { ...CONFIG, ttl: 100 });
    await clock.advance(90_000);
    await append(log, 'x');
    await clock.advance(90_000);
    expect(await log.loadToRead(TOPIC)).toBeDefined();
    await clock.advance(90_000);
    expect(await log.load(TOPIC)).toBeDefined();
    await clock.advance(11_000);
    // The embedded engine ends a topic with a flush.
    await expect.poll(() => log.load(TOPIC)).toBeUndefined();
  });

  it('end at a time that does not slide', async () => {
    const { clock, log } = await openRig(open);
    await make(log, { ...CONFIG, expiresAt: clock.now() + 100_000 });
    await clock.advance(90_000);
    await append(log, 'x');
    expect(await log.loadToRead(TOPIC)).toBeDefined();
    await clock.advance(11_000);
    // The embedded engine ends a topic with a flush.
    await expect.poll(() => log.load(TOPIC)).toBeUndefined();
  });
});

describe('the quota of a tenant', () => {
  it('refuses what a stream adds, and never its close', async () => {
    const clock = new ManualClock();
    const broker = new MemoryBroker({ clock, newEpoch: randomEpoch, accountOf });
    onTestFinished(() => broker.close());
    const rig: { quota: Quota | undefined } = { quota: { bytes: 1000 } };
    const log = new StreamLog({ broker, clock, quotaOf: () => rig.quota });
    await make(log);
    expect(await append(log, 'x'.repeat(500))).toBe('appended');
    await expect(append(log, 'x'.repeat(500))).rejects.toMatchObject({ code: 'quota-reached' });
    expect(await append(log, '', { closes: true })).toBe('appended');
    rig.quota = { topics: 1 };
    const next = streamTopic({ tenant: 'acme', user: 'bob' }, 'more');
    await expect(log.create(next, CONFIG, {}, NONE)).rejects.toMatchObject({ code: 'quota-reached' });
  });
});
