// Group consumption on a store that is slow or fails: the races that an engine in memory never has.
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Delivery, ReadResult } from '../../../src/broker/broker.ts';
import { listDeadLetters } from '../../../src/broker/dead-letters.ts';
import { BrokerError } from '../../../src/broker/errors.ts';
import { GROUPS_MAX } from '../../../src/broker/group/consume-options.ts';
import type { QueueStore } from '../../../src/broker/group/queue-store.ts';
import { GroupConsumption } from '../../../src/broker/group/group-consumption.ts';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { parseLiteTopicName, parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { turn } from '../../support/wait-for.ts';
import { wrapBroker } from '../../support/wrapped-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const A = parseLiteTopicName('request/x/a');
const B = parseLiteTopicName('request/x/b');
const PATTERN = parseTopicPattern('request/*/*');
const VISIBILITY_MS = 1000;
const ONE_FLOW = (): string => '';

/** Topics with the given number of records each. Every step waits at its gate, if it has one. */
class SlowStore implements QueueStore {
  readonly heads = new Map([[A, 3]]);
  readonly consumed = new Map<string, number>();
  readonly saved: string[] = [];
  /** Offsets below this exist in the store. */
  readable = Infinity;
  readGate: Promise<void> = Promise.resolve();
  commitGate: Promise<void> = Promise.resolve();
  saveGate: Promise<void> = Promise.resolve();

  async saveGroup(group: string): Promise<void> {
    await this.saveGate;
    this.saved.push(group);
  }

  *pendingTopics(): Iterable<typeof A> {
    yield* this.heads.keys();
  }

  head(topic: typeof A): ReturnType<QueueStore['head']> {
    const next = this.heads.get(topic);
    return next === undefined ? undefined : { epoch: 'e', next, priority: 'normal', delayMs: 0 };
  }

  committed(_group: string, topic: typeof A): number {
    return this.consumed.get(topic) ?? 0;
  }

  delivered(): undefined {
    return undefined;
  }

  noteDelivery(): void {
    // Nothing is kept.
  }

  async commit(_group: string, topic: typeof A, _epoch: string, next: number): Promise<void> {
    await this.commitGate;
    this.consumed.set(topic, next);
  }

  async read(topic: typeof A, from: Parameters<QueueStore['read']>[1]): Promise<ReadResult> {
    await this.readGate;
    const next = this.heads.get(topic);
    const offset = typeof from === 'object' ? from.offset : 0;
    if (next === undefined) return { kind: 'missing' };
    if (offset >= Math.min(next, this.readable)) return { kind: 'batch', epoch: 'e', items: [], next, end: true };
    return {
      kind: 'batch',
      epoch: 'e',
      items: [{ kind: 'record', offset, major: true, data: `${offset}` }],
      next: offset + 1,
      end: false,
    };
  }
}

interface Gate {
  readonly passed: Promise<void>;
  open(): void;
  fail(error: Error): void;
}

function gate(): Gate {
  let open = (): void => undefined;
  let fail: (error: Error) => void = open;
  const passed = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { passed, open, fail };
}

function setUp(refusing: { append?: BrokerError } = {}) {
  const clock = new ManualClock();
  const store = new SlowStore();
  const inner = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const append = (writes: Parameters<typeof inner.append>[0]): ReturnType<typeof inner.append> =>
    refusing.append === undefined ? inner.append(writes) : Promise.reject(refusing.append);
  const broker = wrapBroker(inner, { append });
  const groups = new GroupConsumption(store, { clock, flowOf: ONE_FLOW, policyOf: () => ({}), broker });
  onTestFinished(() => groups.close());
  const consumer = (credit = 1, attemptsMax = 16) => {
    const abort = new AbortController();
    const options = { credit, attemptsMax, visibilityMs: VISIBILITY_MS, signal: abort.signal };
    const deliveries = groups.consume('g', PATTERN, options);
    const next = async (): Promise<Delivery> => {
      const { value } = await deliveries.next();
      if (value === undefined) throw new Error('the consumer ended');
      return value;
    };
    return { next, abort };
  };
  /** An acknowledgement that is on its way to the disk until the gate opens. */
  const slowAck = (held: Delivery) => {
    const slow = gate();
    store.commitGate = slow.passed;
    return { slow, acked: held.ack() };
  };
  return { clock, store, broker, groups, consumer, slowAck };
}

describe('a rejected record', () => {
  test('stays held and comes again when its letter cannot be stored', async () => {
    const refusing: { append?: BrokerError } = { append: new BrokerError('unavailable', 'away') };
    const { store, broker, consumer } = setUp(refusing);
    const { next } = consumer();
    const held = await next();
    await expect(held.reject('no-good')).rejects.toMatchObject({ code: 'unavailable' });
    expect([store.consumed.size, held.lost.aborted]).toEqual([0, false]);
    expect(await held.nack(0)).toBe(true);
    const again = await next();
    expect([again.record.offset, again.attempt]).toEqual([0, 2]);
    delete refusing.append;
    expect(await again.reject('no-good')).toBe(true);
    expect((await listDeadLetters(broker, { limit: 9 })).letters).toHaveLength(1);
  });

  test('that was delivered too often waits until its letter can be stored', async () => {
    const refusing: { append?: BrokerError } = { append: new BrokerError('disk-full', 'no room') };
    const { clock, store, broker, consumer } = setUp(refusing);
    const { next } = consumer(1, 1);
    await (await next()).nack(0);
    const coming = next();
    await clock.advance(5000);
    expect(store.consumed.size).toBe(0);
    delete refusing.append;
    await clock.advance(1000);
    expect((await coming).record.offset).toBe(1);
    expect((await listDeadLetters(broker, { limit: 9 })).letters).toMatchObject([{ offset: 0, attempts: 1 }]);
  });

  test('has one letter when it was not consumed after the first one', async () => {
    const { store, broker, consumer } = setUp();
    const { next } = consumer();
    const held = await next();
    const slow = gate();
    store.commitGate = slow.passed;
    const rejected = held.reject('no-good');
    slow.fail(new BrokerError('unavailable', 'away'));
    await expect(rejected).rejects.toMatchObject({ code: 'unavailable' });
    store.commitGate = Promise.resolve();
    expect(await held.reject('no-good')).toBe(true);
    expect((await listDeadLetters(broker, { limit: 9 })).letters).toHaveLength(1);
  });
});

describe('an acknowledgement on its way to the disk', () => {
  test('does not expire: no other consumer gets the record, and the answer is true', async () => {
    const { clock, consumer, slowAck } = setUp();
    const one = consumer();
    const held = await one.next();
    const { slow, acked } = slowAck(held);
    const other = consumer().next();
    await clock.advance(10 * VISIBILITY_MS);
    expect(held.lost.aborted).toBe(false);
    slow.open();
    expect(await acked).toBe(true);
    expect((await other).record.offset).toBe(1);
  });

  test('leaves the lease as it was when it fails, so that it can be repeated', async () => {
    const { clock, store, consumer } = setUp();
    const held = await consumer().next();
    const broken = gate();
    store.commitGate = broken.passed;
    broken.fail(new BrokerError('disk-full', 'no room'));
    await expect(held.ack()).rejects.toMatchObject({ code: 'disk-full' });
    expect(held.lost.aborted).toBe(false);
    await clock.advance(VISIBILITY_MS - 1);
    store.commitGate = Promise.resolve();
    expect(await held.ack()).toBe(true);
  });

  test('lets the lease expire when it fails and is not repeated', async () => {
    const { clock, store, consumer } = setUp();
    const held = await consumer().next();
    const broken = gate();
    store.commitGate = broken.passed;
    broken.fail(new BrokerError('disk-full', 'no room'));
    await expect(held.ack()).rejects.toMatchObject({ code: 'disk-full' });
    await clock.advance(VISIBILITY_MS);
    expect(held.lost.aborted).toBe(true);
    expect(await held.ack()).toBe(false);
  });

  test('lets the next record be delivered when it was appended meanwhile', async () => {
    const { store, groups, consumer, slowAck } = setUp();
    store.heads.set(A, 1);
    const one = consumer();
    const held = await one.next();
    const { slow, acked } = slowAck(held);
    store.heads.set(A, 2);
    groups.onAppended(A);
    slow.open();
    expect(await acked).toBe(true);
    expect((await one.next()).record.offset).toBe(1);
  });

  test('loses its lease and nothing else when the topic is removed meanwhile', async () => {
    const { store, groups, consumer, slowAck } = setUp();
    const one = consumer();
    const held = await one.next();
    const { slow, acked } = slowAck(held);
    store.heads.delete(A);
    groups.onRemoved(A);
    expect(held.lost.aborted).toBe(true);
    slow.open();
    await acked;
    store.heads.set(B, 1);
    groups.onAppended(B);
    expect((await one.next()).topic).toBe(B);
  });
});

describe('a record that is being read for a consumer', () => {
  test('goes to another consumer when that consumer aborts meanwhile', async () => {
    const { store, consumer } = setUp();
    const slow = gate();
    store.readGate = slow.passed;
    const one = consumer();
    const asked = one.next().catch((error: unknown) => error);
    await turn();
    one.abort.abort();
    slow.open();
    expect(await asked).toBeInstanceOf(Error);
    const delivery = await consumer().next();
    expect([delivery.record.offset, delivery.attempt]).toEqual([0, 1]);
  });

  test('is dropped when its topic is removed meanwhile', async () => {
    const { store, groups, consumer } = setUp();
    const slow = gate();
    store.readGate = slow.passed;
    const asked = consumer().next();
    await turn();
    store.heads.delete(A);
    groups.onRemoved(A);
    slow.open();
    await turn();
    store.heads.set(B, 1);
    groups.onAppended(B);
    expect((await asked).topic).toBe(B);
  });

  test('fails for that consumer when it cannot be read, and is read again later without delaying the others', async () => {
    const { clock, store, groups, consumer } = setUp();
    const broken = gate();
    store.readGate = broken.passed;
    broken.fail(new BrokerError('corrupt', 'bad checksum'));
    await expect(consumer().next()).rejects.toMatchObject({ code: 'corrupt' });
    store.readGate = Promise.resolve();
    const other = consumer();
    store.heads.set(B, 1);
    groups.onAppended(B);
    const delivery = await other.next();
    expect(delivery.topic).toBe(B);
    await delivery.ack();
    const again = other.next();
    await clock.advance(1000);
    expect((await again).topic).toBe(A);
  });

  test('is an error and not a loop when it does not exist', async () => {
    const { clock, store, groups, consumer } = setUp();
    store.readable = 0;
    await expect(consumer().next()).rejects.toMatchObject({ code: 'corrupt' });
    store.readable = Infinity;
    const again = consumer().next();
    groups.onAppended(A);
    await clock.advance(1000);
    expect((await again).record.offset).toBe(0);
  });

  test('goes to no consumer when the broker closes meanwhile, and the consumer ends without an error', async () => {
    const { store, groups } = setUp();
    const broken = gate();
    store.readGate = broken.passed;
    const deliveries = groups.consume('g', PATTERN, {
      credit: 1,
      visibilityMs: VISIBILITY_MS,
      signal: new AbortController().signal,
    });
    const asked = deliveries.next();
    await turn();
    groups.close();
    broken.fail(new BrokerError('closed', 'closed'));
    expect(await asked).toEqual({ value: undefined, done: true });
  });
});

describe('a group that becomes known', () => {
  test('is saved once, and delivers nothing before it is durable', async () => {
    const { store, consumer } = setUp();
    const slow = gate();
    store.saveGate = slow.passed;
    let delivered = 0;
    const asked = [consumer(), consumer()].map((one) => one.next().then(() => (delivered += 1)));
    await turn();
    expect(delivered).toBe(0);
    store.heads.set(B, 1);
    slow.open();
    await Promise.all(asked);
    expect(store.saved).toEqual(['g']);
  });

  test('is saved by the next consumer when it could not be saved before', async () => {
    const { store, consumer } = setUp();
    const broken = gate();
    store.saveGate = broken.passed;
    broken.fail(new BrokerError('disk-full', 'no room'));
    await expect(consumer().next()).rejects.toMatchObject({ code: 'disk-full' });
    store.saveGate = Promise.resolve();
    expect((await consumer().next()).record.offset).toBe(0);
  });

  test('finds records that are appended while it lists its pending topics', async () => {
    const { store, groups, consumer } = setUp();
    const slow = gate();
    store.saveGate = slow.passed;
    const one = consumer(5);
    const asked = one.next();
    await turn();
    store.heads.set(B, 1);
    groups.onAppended(B);
    slow.open();
    expect([(await asked).topic, (await one.next()).topic].toSorted()).toEqual([A, B]);
  });

  test('is refused when there are too many groups', async () => {
    const { groups } = setUp();
    const consume = (name: string) =>
      groups.consume(name, PATTERN, { credit: 1, visibilityMs: 1, signal: AbortSignal.abort() }).next();
    for (let i = 0; i < GROUPS_MAX; i += 1) await consume(`g${i}`);
    await expect(consume('one more')).rejects.toMatchObject({ code: 'invalid-config' });
    await expect(consume('one-more')).rejects.toMatchObject({ code: 'overloaded' });
  });

  test('keeps its lag and its pattern from an earlier process run before any consumer comes', () => {
    const clock = new ManualClock();
    const groups = new GroupConsumption(
      new SlowStore(),
      { clock, flowOf: ONE_FLOW, policyOf: () => ({}), broker: new MemoryBroker({ clock, newEpoch: () => 'e' }) },
      [['g', PATTERN]],
    );
    expect(groups.hasLag(A)).toBe(true);
    expect(groups.hasLag(B)).toBe(false);
    groups.onAppended(A);
    expect(clock.timers).toBe(0);
  });
});
