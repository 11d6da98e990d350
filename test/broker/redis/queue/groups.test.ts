// Group consumption that only the Redis engine has: several nodes that share a group, nodes that die, lost messages and
// lost answers. The promises of every engine are in the contract suite.
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Delivery } from '../../../../src/broker/broker.ts';
import { BrokerError, isBrokerError } from '../../../../src/broker/errors.ts';
import { parseTopicPattern } from '../../../../src/broker/lite-topic.ts';
import { ACK, DRAIN, LEASE } from '../../../../src/broker/redis/queue/queue-scripts.ts';
import { READY_MS } from '../../../../src/broker/redis/queue/group-consumers.ts';
import { SLOW_MS } from '../../../../src/broker/redis/queue/redis-group.ts';
import { RECHECK_MS } from '../../../../src/broker/redis/connection/jitter.ts';
import { append, isMissing, major, nextOf, outcome, topicName } from '../../contract/subject.ts';
import { REQUESTS, TestWorker, VISIBILITY_MS, said } from '../../contract/worker.ts';
import { eventually } from '../../../support/wait-for.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { timeLimit } from '../../../support/slowness.ts';
import { GroupStore } from './group-store.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');
const C = topicName('request/x/c');
const MANY_MS_MAX = timeLimit(60_000);

let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

/** Tells whether a promise has resolved, for tests that it has not resolved yet. */
function watched<T>(coming: Promise<T>): { readonly coming: Promise<T>; readonly hasCome: () => boolean } {
  let hasCome = false;
  const told = coming.then((value) => {
    hasCome = true;
    return value;
  });
  return { coming: told, hasCome: () => hasCome };
}

/** Tries until the connection works again. */
async function settledWhenReachable(settle: () => Promise<boolean>): Promise<boolean> {
  for (;;) {
    try {
      return await settle();
    } catch (error) {
      if (!isBrokerError(error, 'unavailable')) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const runs = (sha: string) => (sent: Buffer) => sent.includes(sha);

describe('nodes that share a group', () => {
  test('get each record once, in order within its topic', { timeout: MANY_MS_MAX }, async () => {
    const store = new GroupStore(server);
    const nodes = [await store.node(), await store.node(), await store.node()];
    const [topics, records] = [100, 3];
    const seen: string[] = [];
    const workers = nodes.flatMap((node) => [new TestWorker(node, { credit: 4 }), new TestWorker(node, { credit: 4 })]);
    const consuming = workers.map(async (worker) => {
      for (;;) {
        const delivery = await worker.next();
        seen.push(said(delivery));
        if (!(await delivery.ack())) throw new Error('a lease was lost');
        if (seen.length === topics * records) for (const one of workers) one.abort();
      }
    });
    const [writer] = nodes;
    if (writer === undefined) throw new Error('no node');
    const names = Array.from({ length: topics }, (_, i) => topicName(`request/x/t${i}`));
    await Promise.all(names.flatMap((name) => ['0', '1', '2'].map((data) => append(writer, name, major(data)))));
    await Promise.allSettled(consuming);
    expect(seen.toSorted()).toEqual(
      names.flatMap((name) => ['0:0', '1:1', '2:2'].map((one) => `${name} ${one}`)).toSorted(),
    );
    for (const name of names)
      expect(seen.filter((one) => one.startsWith(`${name} `))).toEqual([`${name} 0:0`, `${name} 1:1`, `${name} 2:2`]);
  });

  test('are woken when another node appends', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    const asked = watched(new TestWorker(two).next());
    await eventually(() => store.isHeard());
    await append(one, topicName('chat/a'), major('not this'));
    expect(asked.hasCome()).toBe(false);
    await append(one, A, major('this'));
    expect(said(await asked.coming)).toBe(`${A} 0:this`);
  });

  test('are woken when another node gives a topic back or leaves a record unconsumed', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    await append(one, A, major('0', '1'));
    const worker = new TestWorker(one, { credit: 1 });
    const first = await worker.next();
    worker.abort();
    const other = new TestWorker(two);
    const asked = watched(other.next());
    await eventually(() => store.isHeard());
    expect(asked.hasCome()).toBe(false);
    expect(await first.nack(0)).toBe(true);
    const again = await asked.coming;
    expect([said(again), again.attempt]).toEqual([`${A} 0:0`, 2]);
    const next = other.next();
    expect(await again.ack()).toBe(true);
    expect(said(await next)).toBe(`${A} 1:1`);
  });

  test('never hold a topic at the same time, and get it when the other node is done', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    await append(one, A, major('0', '1'));
    const held = await new TestWorker(one).next();
    const asked = new TestWorker(two).next();
    await eventually(() => store.isHeard());
    await append(two, A, major('2'));
    await append(one, B, major('0'));
    const other = await asked;
    expect([said(held), said(other)]).toEqual([`${A} 0:0`, `${B} 0:0`]);
    await other.ack();
    const next = new TestWorker(two).next();
    await held.ack();
    expect(said(await next)).toBe(`${A} 1:1`);
  });

  test('must use the same pattern', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    await append(one, A, major('0'));
    await new TestWorker(one).done();
    expect(await outcome(new TestWorker(two, { pattern: parseTopicPattern('request/x/*') }).next())).toBe(
      'invalid-config',
    );
    await append(two, A, major('1'));
    expect(await new TestWorker(two).done()).toBe(`${A} 1:1`);
  });

  test('queue their appends for a group that only another node has opened', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    await append(one, A, major('0'));
    await new TestWorker(one).done();
    await one.close();
    await append(two, B, major('0'), { ttlMs: 1000, priority: 'high' });
    await append(two, A, major('1'), { ttlMs: 1000 });
    await store.clock.advance(60_000);
    const worker = new TestWorker(await store.node(), { credit: 2 });
    expect((await worker.take(2)).map(said)).toEqual([`${B} 0:0`, `${A} 1:1`]);
  });

  test('lose the lease of a topic that another node ends', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    await append(one, A, major('old'));
    const held = await new TestWorker(two).next();
    await eventually(() => store.isHeard());
    const lost = once(held.lost, 'abort');
    await one.remove(A);
    await lost;
    await append(one, A, major('new'));
    expect(await held.ack()).toBe(false);
    expect(await new TestWorker(two).done()).toBe(`${A} 0:new`);
  });
});

test('a consumer that settles while a round is under way gets one delivery per request', async () => {
  const store = new GroupStore(server);
  const broker = await store.node();
  const names = Array.from({ length: 200 }, (_, i) => topicName(`request/x/t${i}`));
  await Promise.all(names.map((name) => append(broker, name, major('0'))));
  const worker = new TestWorker(broker, { credit: 8 });
  const acks: Promise<boolean>[] = [];
  const got: string[] = [];
  while (got.length < names.length) {
    const delivery = await worker.next();
    got.push(delivery.topic);
    acks.push(delivery.ack());
  }
  expect(got.toSorted()).toEqual(names.toSorted());
  expect(new Set(await Promise.all(acks))).toEqual(new Set([true]));
});

describe('a node that dies', () => {
  test('loses its leases at their deadline, and not before', async () => {
    const store = new GroupStore(server, 1);
    const [{ broker: dying, proxy }, survivor] = [await store.distantNode(), await store.node()];
    await append(survivor, A, major('0'));
    const held = await new TestWorker(dying).next();
    proxy.refuse();
    proxy.cutAll();
    await store.clock.advance(VISIBILITY_MS - 1);
    const worker = new TestWorker(survivor, { credit: 5 });
    for (const topic of [B, C]) {
      await append(survivor, topic, major('0'));
      expect(said(await worker.next())).toBe(`${topic} 0:0`);
    }
    const next = worker.next();
    await store.clock.advance(1);
    const again = await next;
    expect([said(again), again.attempt]).toEqual([`${A} 0:0`, 2]);
    expect(held.lost.aborted).toBe(true);
    expect(await held.ack()).toBe(false);
  });

  test('has its topic taken at the deadline by a node that only received a message about the lease', async () => {
    const store = new GroupStore(server);
    const [{ broker: dying, proxy }, survivor] = [await store.distantNode(), await store.node()];
    const asked = new TestWorker(survivor).next();
    await eventually(() => store.isHeard());
    // When this message has been received, all earlier ones have been, so no check is due.
    await append(survivor, B, major('0'));
    await asked;
    await append(survivor, A, major('0'));
    // This ends before the periodic check of every partition.
    const visibilityMs = RECHECK_MS / 3;
    await new TestWorker(dying, { visibilityMs }).next();
    proxy.refuse();
    proxy.cutAll();
    const next = new TestWorker(survivor).next();
    await store.clock.advance(visibilityMs);
    const again = await next;
    expect([said(again), again.attempt]).toEqual([`${A} 0:0`, 2]);
  });

  test('gives back at once the topics of a running round when it is closed', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    for (const topic of [A, B, C]) await append(one, topic, major('0'));
    const worker = new TestWorker(one, { credit: 10 });
    await worker.next();
    const more = worker.next().then(said, () => 'ended');
    await one.close();
    await more;
    const other = new TestWorker(two, { credit: 10 });
    expect((await other.take(3)).map(({ topic }) => topic).toSorted()).toEqual([A, B, C]);
  });
});

test('a delivery that its consumer does not request is given back soon, and no attempt is counted', async () => {
  const store = new GroupStore(server);
  const [one, two] = [await store.node(), await store.node()];
  const names = Array.from({ length: 6 }, (_, i) => topicName(`request/x/t${i}`));
  for (const name of names) await append(one, name, major('0'));
  // The second request comes at once, so its round picks two topics. Then the consumer requests no more.
  const held = await new TestWorker(one, { credit: 6 }).take(2);
  const other = new TestWorker(two, { credit: 6 });
  const rest = await other.take(3);
  const asked = other.next();
  await store.clock.advance(READY_MS);
  const last = await asked;
  expect(last.attempt).toBe(1);
  expect([...held, ...rest, last].map(({ topic }) => topic).toSorted()).toEqual(names);
});

test('a partition that answers after the round has gone on without it is asked again', async () => {
  const store = new GroupStore(server, 1);
  const broker = await store.node();
  await append(broker, A, major('0'));
  let release = (): void => undefined;
  let drains = 0;
  const groups = store.deafGroups(broker, async (script) => {
    if (script === DRAIN && (drains += 1) === 1) await new Promise<void>((resolve) => (release = resolve));
  });
  const options = { credit: 1, visibilityMs: VISIBILITY_MS, signal: new AbortController().signal };
  const asked = nextOf<Delivery>(groups.consume('agents', REQUESTS, options)[Symbol.asyncIterator]());
  await eventually(() => Promise.resolve(drains === 1));
  await store.clock.advance(SLOW_MS);
  release();
  expect(said(await asked)).toBe(`${A} 0:0`);
});

describe('the loss of', () => {
  test('a message about a queued topic is corrected by the periodic check', async () => {
    const store = new GroupStore(server);
    const broker = await store.node();
    const groups = store.deafGroups(broker);
    await append(broker, A, major('0'));
    const abort = new AbortController();
    const deliveries = groups
      .consume('agents', REQUESTS, { credit: 2, visibilityMs: VISIBILITY_MS, signal: abort.signal })
      [Symbol.asyncIterator]();
    await (await nextOf(deliveries)).ack();
    const asked = watched(nextOf<Delivery>(deliveries));
    await append(broker, B, major('0'));
    await store.clock.advance(RECHECK_MS / 2);
    expect(asked.hasCome()).toBe(false);
    await store.clock.advance(RECHECK_MS);
    expect(said(await asked.coming)).toBe(`${B} 0:0`);
    abort.abort();
  });

  test('the subscription is followed by a check when it is active again', async () => {
    const store = new GroupStore(server);
    const broker = await store.node();
    const worker = new TestWorker(broker, { credit: 2 });
    await append(broker, A, major('0'));
    await worker.done();
    await eventually(() => store.isHeard());
    const asked = worker.next();
    await server.command('CLIENT KILL TYPE pubsub');
    await append(broker, B, major('0'));
    expect(said(await asked)).toBe(`${B} 0:0`);
  });

  test('the answer to an acknowledgement lets the second try succeed', async () => {
    const store = new GroupStore(server);
    const { broker, proxy } = await store.distantNode();
    const other = await store.node();
    await append(other, A, major('0', '1'));
    const held = await new TestWorker(broker).next();
    const cut = proxy.cutAfter(runs(ACK.sha));
    expect(await outcome(held.ack())).toBe('unavailable');
    await cut;
    expect(await settledWhenReachable(() => held.ack())).toBe(true);
    expect(await held.ack()).toBe(false);
    expect(await new TestWorker(other).done()).toBe(`${A} 1:1`);
  });

  test('an acknowledgement leaves the lease, and it can be sent again', async () => {
    const store = new GroupStore(server);
    const { broker, proxy } = await store.distantNode();
    await append(broker, A, major('0', '1'));
    const held = await new TestWorker(broker).next();
    const cut = proxy.cutBefore(runs(ACK.sha));
    expect(await outcome(held.ack())).toBe('unavailable');
    await cut;
    expect(held.lost.aborted).toBe(false);
    expect(await settledWhenReachable(() => held.ack())).toBe(true);
  });

  test('the answer to a lease delivers the record again when that lease has run out; the consumer keeps waiting', async () => {
    const store = new GroupStore(server);
    const { broker, proxy } = await store.distantNode();
    const worker = new TestWorker(broker);
    await append(broker, A, major('0'));
    await worker.done();
    const cut = proxy.cutAfter(runs(LEASE.sha));
    const asked = worker.next();
    const other = await store.node();
    await append(other, B, major('0'));
    await cut;
    const got = watched(asked);
    while (!got.hasCome()) await store.clock.advance(1000);
    const delivery = await got.coming;
    expect(said(delivery)).toBe(`${B} 0:0`);
    expect(delivery.attempt).toBeGreaterThan(1);
  });

  test('all data in Redis opens the group again, which then delivers new records', async () => {
    const own = await RedisServer.start();
    onTestFinished(() => own.close());
    const store = new GroupStore(server);
    const broker = await store.node(own.url);
    const worker = new TestWorker(broker);
    await append(broker, A, major('0'));
    await worker.done();
    await own.command('FLUSHALL');
    const asked = watched(worker.next());
    await append(broker, B, major('0'));
    while (!asked.hasCome()) await store.clock.advance(RECHECK_MS);
    expect(said(await asked.coming)).toBe(`${B} 0:0`);
  });
});

describe('a group that is opened later', () => {
  test('finds every topic, however many there are in a partition', { timeout: MANY_MS_MAX }, async () => {
    const store = new GroupStore(server, 1);
    const broker = await store.node();
    const names = Array.from({ length: 1200 }, (_, i) => topicName(`request/x/t${i}`));
    await Promise.all(names.map((name) => append(broker, name, major('0'))));
    const taken = await new TestWorker(broker, { credit: 2000 }).take(names.length);
    expect(taken.map(({ topic }) => topic).toSorted()).toEqual(names.toSorted());
  });

  test('does not bring back expired topics', async () => {
    const store = new GroupStore(server, 1);
    const broker = await store.node();
    await append(broker, A, major('0'), { ttlMs: 1000 });
    await append(broker, B, major('0'));
    await store.clock.advance(1000);
    const worker = new TestWorker(broker, { credit: 2 });
    expect(said(await worker.next())).toBe(`${B} 0:0`);
    expect(await isMissing(broker, A)).toBe(true);
  });

  test('keeps an expired topic that another group still keeps', async () => {
    const store = new GroupStore(server, 1);
    const broker = await store.node();
    const first = new TestWorker(broker, { visibilityMs: 60_000 });
    await append(broker, A, major('0'), { ttlMs: 1000 });
    const held = await first.next();
    await store.clock.advance(2000);
    const second = await new TestWorker(broker, { group: 'other', visibilityMs: 60_000 }).next();
    expect(await held.ack()).toBe(true);
    expect(await isMissing(broker, A)).toBe(false);
    await store.clock.advance(1);
    expect(await second.ack()).toBe(true);
    // The topic ends at once when both groups have consumed it, without a request, because it had expired.
    expect(await server.command(`ZCARD {${store.prefix}:p0}:names`)).toBe('0');
    expect(await isMissing(broker, A)).toBe(true);
  });
});

test('a fault of the work on a dead letter is reported, and the work is tried again after a longer pause', async () => {
  const store = new GroupStore(server, 1);
  const reported: unknown[] = [];
  const node = await store.node(server.url, (error) => reported.push(error));
  await append(node, A, major('poison', 'next'));
  const corrupt = new BrokerError('corrupt', '');
  const faults = [new BrokerError('unavailable', 'not now'), new TypeError('a defect'), corrupt, corrupt];
  let tries = 0;
  const onDeadLetter = (): Promise<void> => {
    const fault = faults[tries];
    tries += 1;
    return fault === undefined ? Promise.resolve() : Promise.reject(fault);
  };
  const worker = new TestWorker(node, { attemptsMax: 1, onDeadLetter });
  await (await worker.next()).nack(0);
  const next = worker.done();
  for (const pause of [1000, 1000, 2000, 4000]) {
    const due = `${A}\n${store.clock.now() + pause}`;
    const key = `{${store.prefix}:p0}:q:agents:due`;
    await eventually(async () => (await server.command(`ZRANGE ${key} 0 -1 WITHSCORES`)) === due);
    await store.clock.advance(pause);
  }
  expect(await next).toBe(`${A} 1:next`);
  expect(reported).toEqual(faults.slice(1));
});

test('a full server refuses records, and queued records can still be consumed', async () => {
  const full = await RedisServer.start();
  onTestFinished(() => full.close());
  const store = new GroupStore(server);
  const broker = await store.node(full.url);
  await append(broker, A, major('0', '1'));
  const worker = new TestWorker(broker);
  await worker.done();
  await full.command('CONFIG SET maxmemory 1');
  expect(await outcome(append(broker, A, major('2')))).toBe('disk-full');
  expect(await worker.done()).toBe(`${A} 1:1`);
  expect(broker.health().state).toBe('full');
  await full.command('CONFIG SET maxmemory 0');
  await append(broker, A, major('2'));
  expect(await worker.done()).toBe(`${A} 2:2`);
});
