// Connections that break at the worst moments: no append is written twice or lost, and no caller waits without end.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Appended, BrokerEngine } from '../../../src/broker/broker.ts';
import { systemClock } from '../../../src/base/clock.ts';
import {
  CHAT,
  CollectedTail,
  append,
  batchOf,
  major,
  minor,
  outcome,
  readLines,
  topicName,
} from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { RedisStore } from './redis-store.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ appendfsync: 'always' });
});
afterAll(() => server.close());

const says =
  (text: string) =>
  (sent: Buffer): boolean =>
    sent.includes(text);

async function behindProxy(): Promise<{
  readonly store: RedisStore;
  readonly proxy: TcpProxy;
  readonly broker: BrokerEngine;
}> {
  const store = new RedisStore(server);
  const proxy = await TcpProxy.start(server.port);
  onTestFinished(() => proxy.close());
  return { store, proxy, broker: await store.open({ nodes: [`redis://127.0.0.1:${proxy.port}`] }) };
}

/** Resolves when the node is connected again. */
const healthy = (broker: BrokerEngine): Promise<void> => eventually(() => broker.health().state === 'ready');

describe('a connection that breaks while the server’s promise is verified', () => {
  /** The client sends INFO before it reports a connection as ready, and the engine sends it again. */
  const secondInfo = (): ((sent: Buffer) => boolean) => {
    let seen = 0;
    return (sent) => /info/i.test(sent.toString('latin1')) && (seen += 1) === 2;
  };
  test.each([
    ['INFO', secondInfo],
    ['appendfsync', () => says('appendfsync')],
  ])('is followed by one on which it is asked again: %s', async (_name, question) => {
    const store = new RedisStore(server);
    const proxy = await TcpProxy.start(server.port);
    onTestFinished(() => proxy.close());
    const broker = await store.open({ nodes: [`redis://127.0.0.1:${proxy.port}`], promise: 'always' });
    for (let i = 0; i < 3; i += 1) {
      const cut = proxy.cutBefore(question());
      proxy.cutAll();
      await cut;
      await healthy(broker);
      await append(broker, CHAT, minor(`${i}`));
    }
    expect(await readLines(broker, CHAT)).toEqual(['0m:0', '1m:1', '2m:2']);
  });
});

describe('a reply that is lost', () => {
  test('leaves the outcome of an append open; a retry under the same fence gets the first answer', async () => {
    const { proxy, broker } = await behindProxy();
    const { epoch } = await append(broker, CHAT, major('start'), { takeFence: true });
    const fenced = { expect: { epoch }, fence: { fence: 0, seq: 1 } };
    const cut = proxy.cutAfter(says('written once'));
    expect(await outcome(append(broker, CHAT, minor('written once'), fenced))).toBe('unavailable');
    await cut;
    await healthy(broker);
    expect(await append(broker, CHAT, minor('written once'), fenced)).toEqual({ epoch, first: 1, next: 2 });
    expect(await readLines(broker, CHAT)).toEqual(['0M:start', '1m:written once']);
  });

  test('leaves the outcome of every append in a batch open, and each retry gets its own first answer', async () => {
    const { proxy, broker } = await behindProxy();
    const topics = ['a', 'b', 'c'].map((name) => topicName(`chat/${name}`));
    const begun = await Promise.all(topics.map((topic) => append(broker, topic, major('start'), { takeFence: true })));
    const appendAll = (): Promise<Appended>[] =>
      topics.map((topic, i) =>
        append(broker, topic, minor(`together ${topic}`), {
          expect: { epoch: begun[i]?.epoch ?? '' },
          fence: { fence: 0, seq: 1 },
        }),
      );
    const cut = proxy.cutAfter(says('together chat/b'));
    expect(await Promise.all(appendAll().map(outcome))).toEqual(['unavailable', 'unavailable', 'unavailable']);
    await cut;
    await healthy(broker);
    expect(await Promise.all(appendAll())).toEqual(begun.map(({ epoch }) => ({ epoch, first: 1, next: 2 })));
    for (const topic of topics) expect(await readLines(broker, topic)).toEqual(['0M:start', `1m:together ${topic}`]);
  });

  test('makes the second try of a conditional append a conflict', async () => {
    const { proxy, broker } = await behindProxy();
    const { epoch } = await append(broker, CHAT, major('start'));
    const decided = { expect: { epoch }, ifUnchanged: { epoch, offset: 0 } };
    const cut = proxy.cutAfter(says('decided once'));
    expect(await outcome(append(broker, CHAT, major('decided once'), decided))).toBe('unavailable');
    await cut;
    await healthy(broker);
    expect(await outcome(append(broker, CHAT, major('decided once'), decided))).toBe('conflict');
    expect(await readLines(broker, CHAT)).toEqual(['0M:start', '1M:decided once']);
  });

  test('does not make the engine send the command again', async () => {
    const { proxy, broker } = await behindProxy();
    await append(broker, CHAT, major('start'));
    for (const text of ['a', 'b', 'c']) {
      const cut = proxy.cutAfter(says(`unconditional ${text}`));
      expect(await outcome(append(broker, CHAT, minor(`unconditional ${text}`)))).toBe('unavailable');
      await cut;
      await healthy(broker);
    }
    expect(await readLines(broker, CHAT)).toEqual([
      '0M:start',
      '1m:unconditional a',
      '2m:unconditional b',
      '3m:unconditional c',
    ]);
  });
});

test('a lost request was not carried out and can be sent again', async () => {
  const { proxy, broker } = await behindProxy();
  const { epoch } = await append(broker, CHAT, major('start'), { takeFence: true });
  const fenced = { expect: { epoch }, fence: { fence: 0, seq: 1 } };
  const cut = proxy.cutBefore(says('never arrives'));
  expect(await outcome(append(broker, CHAT, minor('never arrives'), fenced))).toBe('unavailable');
  await cut;
  await healthy(broker);
  expect(await readLines(broker, CHAT)).toEqual(['0M:start']);
  expect(await append(broker, CHAT, minor('second try'), fenced)).toMatchObject({ first: 1 });
});

test('a server that has lost the scripts gets them again', async () => {
  const store = new RedisStore(server);
  const broker = await store.open();
  await append(broker, CHAT, minor('a'));
  await store.raw().script('FLUSH');
  await Promise.all(Array.from({ length: 20 }, () => append(broker, CHAT, minor('b'))));
  expect(await readLines(broker, CHAT)).toHaveLength(21);
});

test.each(['normal', 'pubsub'])(
  'CLIENT KILL TYPE %s during tails and appends loses and repeats no record',
  async (type) => {
    const store = new RedisStore(server);
    const [writer, reader] = [await store.open(), await store.open()];
    const { epoch } = await append(writer, CHAT, major('start'), { takeFence: true });
    const tails = Array.from({ length: 5 }, () => new CollectedTail(reader, CHAT, { epoch, offset: 0 }));
    const raw = store.raw();
    for (let seq = 1; seq <= 60; seq += 1) {
      if (seq % 10 === 0) await raw.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
      // A writer sends the same fence and seq again until it receives an answer.
      await eventually(
        async () =>
          (await outcome(append(writer, CHAT, minor(`${seq}`), { expect: { epoch }, fence: { fence: 0, seq } }))) ===
          'accepted',
      );
    }
    const story = await readLines(writer, CHAT).catch(async () => {
      await healthy(writer);
      return readLines(writer, CHAT);
    });
    expect(story).toEqual(['0M:start', ...Array.from({ length: 60 }, (_, i) => `${i + 1}m:${i + 1}`)]);
    for (const tail of tails) expect(await tail.reached(61)).toEqual(story);
  },
);

describe('an unreachable server', () => {
  test('is reported within a bound and with its address at the start', async () => {
    const closed = await TcpProxy.start(1);
    const { port } = closed;
    await closed.close();
    await expect(new RedisStore(server).open({ nodes: [`redis://127.0.0.1:${port}`] })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  test('fails calls and health at once, and is used again by itself when it is back; tails continue', async () => {
    const { proxy, broker } = await behindProxy();
    const { epoch } = await append(broker, CHAT, major('before'));
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(1);
    proxy.refuse();
    proxy.cutAll();
    await eventually(() => broker.health().state === 'unavailable');
    expect(await outcome(append(broker, CHAT, minor('x')))).toBe('unavailable');
    expect(await outcome(broker.read(CHAT, 'earliest'))).toBe('unavailable');
    const late = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    proxy.heal();
    await healthy(broker);
    await append(broker, CHAT, minor('after'));
    expect(await tail.reached(2)).toEqual(['0M:before', '1m:after']);
    expect(await late.reached(2)).toEqual(['0M:before', '1m:after']);
  });

  test('has its connection closed after a while when it does not answer', async () => {
    const { proxy, broker } = await behindProxy();
    await append(broker, CHAT, major('before'));
    proxy.blackHole();
    expect(await outcome(append(broker, CHAT, minor('into the hole')))).toBe('unavailable');
    proxy.heal();
    await healthy(broker);
    expect(await readLines(broker, CHAT)).toEqual(['0M:before']);
  });

  test('has at most the limit of commands under way', async () => {
    const { proxy, broker } = await behindProxy();
    proxy.blackHole();
    const outcomes = await Promise.all(Array.from({ length: 17_000 }, () => outcome(append(broker, CHAT, minor('x')))));
    expect(new Set(outcomes)).toEqual(new Set(['overloaded', 'unavailable']));
    expect(outcomes.filter((one) => one === 'unavailable')).toHaveLength(16_384);
  });
});

test('a restart with every write flushed keeps the epoch, tails and fences', async () => {
  const own = await RedisServer.start({ appendfsync: 'always' });
  onTestFinished(() => own.close());
  const broker = await new RedisStore(own).open({ promise: 'always' });
  const { epoch } = await append(broker, CHAT, major('before'), { takeFence: true });
  const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
  await tail.reached(1);
  await own.kill();
  expect(await outcome(append(broker, CHAT, minor('while away')))).toBe('unavailable');
  await own.restart();
  await healthy(broker);
  expect(await append(broker, CHAT, minor('after'), { expect: { epoch }, fence: { fence: 0, seq: 1 } })).toEqual({
    epoch,
    first: 1,
    next: 2,
  });
  expect(await tail.reached(2)).toEqual(['0M:before', '1m:after']);
  expect(batchOf(await broker.read(CHAT, { epoch, offset: 0 })).items).toHaveLength(2);
});

test('a node’s clock that is a day ahead changes nothing', async () => {
  const store = new RedisStore(server);
  const ahead = { ...systemClock, now: () => systemClock.now() + 24 * 3_600_000 };
  const broker = await store.open({ clock: ahead });
  await append(broker, CHAT, minor('a'), { ttlMs: 3_600_000 });
  expect(await readLines(broker, CHAT)).toEqual(['0m:a']);
});
