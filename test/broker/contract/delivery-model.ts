// Any sequence of deliveries, with delays of topics, delays of what is given back, rejected records and released dead
// letters, against plain arrays. Which of several topics is delivered first is not the model's: every delivery must be
// one that the model has ready at that moment.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine, Delivery } from '../../../src/broker/broker.ts';
import { listDeadLetters, releaseDeadLetter } from '../../../src/broker/dead-letters.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import type { ManualClock } from '../../support/manual-clock.ts';
import { timeLimit } from '../../support/slowness.ts';
import { append, major, opener, topicName } from './subject.ts';
import type { SubjectFactory } from './subject.ts';
import { TestWorker } from './worker.ts';

const RUNS = 10;
const TEST_MS_MAX = timeLimit(60_000);
const MINUTE = 60_000;
const TOPICS = ['request/x/a', 'request/x/b', 'request/y/c'].map(topicName);
/** Longer than a run. */
const VISIBILITY_MS = 24 * 60 * MINUTE;

interface Topic {
  readonly records: string[];
  /** The offset of the next record that the group has to consume. */
  next: number;
  attempts: number;
  /** When the topic, and its next record, may be delivered. */
  notBefore: number;
  retryAt: number;
}

interface Letter {
  readonly topic: LiteTopicName;
  readonly offset: number;
  readonly attempts: number;
  readonly reason: string;
}

class World {
  readonly #clock: ManualClock;
  readonly #reopen: () => Promise<BrokerEngine>;
  readonly #topics = new Map<LiteTopicName, Topic>();
  #letters: Letter[] = [];
  #broker: BrokerEngine;
  #worker: TestWorker;
  /** The delivery that was requested and has not come. */
  #requested: Promise<Delivery> | undefined;
  /** Why a delivery that nobody awaited was wrong. */
  #failure: Error | undefined;
  #held: Delivery | undefined;

  constructor(broker: BrokerEngine, clock: ManualClock, reopen: () => Promise<BrokerEngine>) {
    this.#clock = clock;
    this.#reopen = reopen;
    this.#broker = broker;
    this.#worker = new TestWorker(broker, { visibilityMs: VISIBILITY_MS });
  }

  async append(name: LiteTopicName, data: string, delayMs: number | undefined): Promise<void> {
    const topic = this.#topicOf(name);
    topic.records.push(data);
    topic.notBefore = Math.max(topic.notBefore, this.#clock.mono() + (delayMs ?? 0));
    await append(this.#broker, name, major(data), delayMs === undefined ? {} : { delayMs });
  }

  /** Requests a delivery, and takes it if one is ready. */
  async take(): Promise<void> {
    if (this.#held === undefined && this.#requested === undefined) this.#request();
    await this.settle();
  }

  async ack(): Promise<void> {
    const [delivery, topic] = await this.#give();
    if (delivery === undefined) return;
    consume(topic);
    expect(await delivery.ack()).toBe(true);
  }

  async nack(delayMs: number, count: boolean): Promise<void> {
    const [delivery, topic] = await this.#give();
    if (delivery === undefined) return;
    if (!count) topic.attempts -= 1;
    topic.retryAt = this.#clock.mono() + delayMs;
    expect(await delivery.nack(delayMs, { count })).toBe(true);
  }

  async reject(reason: string): Promise<void> {
    const [delivery, topic] = await this.#give();
    if (delivery === undefined) return;
    this.#letters.push({ topic: delivery.topic, offset: topic.next, attempts: topic.attempts, reason });
    consume(topic);
    expect(await delivery.reject(reason)).toBe(true);
  }

  async release(at: number): Promise<void> {
    const { letters } = await listDeadLetters(this.#broker, { limit: 100 });
    const letter = letters[Math.floor(at * letters.length)];
    if (letter === undefined) return;
    const topic = this.#topicOf(letter.topic);
    topic.records.push(topic.records[letter.offset] ?? '');
    this.#letters = this.#letters.filter(({ topic: of, offset }) => of !== letter.topic || offset !== letter.offset);
    expect(await releaseDeadLetter(this.#broker, letter.name)).toBe(true);
    expect(await releaseDeadLetter(this.#broker, letter.name)).toBe(false);
  }

  async pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
  }

  async reopen(): Promise<void> {
    [this.#requested, this.#held] = [undefined, undefined];
    this.#broker = await this.#reopen();
    this.#worker = new TestWorker(this.#broker, { visibilityMs: VISIBILITY_MS });
  }

  /** A delivery that was requested comes if one is ready. */
  async settle(): Promise<void> {
    if (this.#requested !== undefined && this.#ready().length > 0) await this.#requested;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async end(): Promise<void> {
    const { letters } = await listDeadLetters(this.#broker, { limit: 100 });
    const found = letters.map(({ topic, offset, attempts, reason }) => ({ topic, offset, attempts, reason }));
    expect(found.sort(byPlace)).toEqual(this.#letters.sort(byPlace));
    await this.pass(VISIBILITY_MS / 2);
    do await this.ack();
    while (this.#ready().length > 0);
    for (const { records, next } of this.#topics.values()) expect(next).toBe(records.length);
    this.#requested = undefined;
    await this.#broker.close();
  }

  #request(): void {
    const requested = this.#next();
    this.#requested = requested;
    // A reopening ends the request.
    requested.catch((error: unknown) => {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (this.#requested === requested) this.#failure = failure;
    });
  }

  async #next(): Promise<Delivery> {
    const delivery = await this.#worker.next();
    expect(this.#ready()).toContain(delivery.topic);
    const topic = this.#topicOf(delivery.topic);
    topic.attempts += 1;
    const { next: offset, attempts: attempt } = topic;
    expect({ offset: delivery.record.offset, attempt: delivery.attempt }).toEqual({ offset, attempt });
    expect(delivery.record.data).toBe(topic.records[offset]);
    [this.#requested, this.#held] = [undefined, delivery];
    return delivery;
  }

  /** The delivery that is held, or the next one if one is ready. It is not held any more. */
  async #give(): Promise<[Delivery | undefined, Topic]> {
    await this.take();
    const delivery = this.#held;
    this.#held = undefined;
    return [delivery, this.#topicOf(delivery?.topic ?? topicName('request/none/none'))];
  }

  #ready(): LiteTopicName[] {
    const now = this.#clock.mono();
    return [...this.#topics]
      .filter(([, topic]) => topic.next < topic.records.length && Math.max(topic.notBefore, topic.retryAt) <= now)
      .map(([name]) => name);
  }

  #topicOf(name: LiteTopicName): Topic {
    const topic = this.#topics.get(name) ?? { records: [], next: 0, attempts: 0, notBefore: 0, retryAt: 0 };
    if (TOPICS.includes(name)) this.#topics.set(name, topic);
    return topic;
  }
}

function consume(topic: Topic): void {
  topic.next += 1;
  [topic.attempts, topic.retryAt] = [0, 0];
}

function byPlace(a: Letter, b: Letter): number {
  return a.topic === b.topic ? a.offset - b.offset : a.topic < b.topic ? -1 : 1;
}

type Step = (world: World) => Promise<void>;

/** One command; its text makes a counterexample readable. */
function step<T>(name: string, wishes: fc.Arbitrary<T>, act: (world: World, wish: T) => Promise<void>) {
  return wishes.map((wish) => {
    const run: Step = (world) => act(world, wish);
    return Object.assign(run, { toString: () => `${name} ${JSON.stringify(wish)}` });
  });
}

const delay = fc.constantFrom(undefined, undefined, 1, MINUTE, 3 * MINUTE);
const appendArbitrary = step(
  'append',
  fc.record({ name: fc.constantFrom(...TOPICS), data: fc.constantFrom('a', 'b', 'c'), delayMs: delay }),
  (world, { name, data, delayMs }) => world.append(name, data, delayMs),
);
const nothing = fc.constant(null);
const takeArbitrary = step('take', nothing, (world) => world.take());
const ackArbitrary = step('ack', nothing, (world) => world.ack());
const nackArbitrary = step(
  'nack',
  fc.record({ delayMs: fc.constantFrom(0, 0, MINUTE, 2 * MINUTE), count: fc.boolean() }),
  (world, { delayMs, count }) => world.nack(delayMs, count),
);
const rejectArbitrary = step('reject', fc.constantFrom('bad', 'too-long'), (world, reason) => world.reject(reason));
const releaseArbitrary = step('release', fc.double({ min: 0, max: 0.99, noNaN: true }), (world, at) =>
  world.release(at),
);
const passArbitrary = step('pass', fc.constantFrom(1, MINUTE - 1, MINUTE), (world, ms) => world.pass(ms));
const reopenArbitrary = step('reopen', nothing, (world) => world.reopen());

const stepsArbitrary = (reopens: boolean): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { arbitrary: appendArbitrary, weight: 6 },
      { arbitrary: takeArbitrary, weight: 2 },
      { arbitrary: ackArbitrary, weight: 2 },
      { arbitrary: nackArbitrary, weight: 5 },
      { arbitrary: rejectArbitrary, weight: 2 },
      { arbitrary: releaseArbitrary, weight: 1 },
      { arbitrary: passArbitrary, weight: 2 },
      { arbitrary: reopenArbitrary, weight: reopens ? 1 : 0 },
    ),
    { minLength: 1, maxLength: 32, size: 'max' },
  );

export function deliveryModel(
  name: string,
  factory: SubjectFactory,
  { reopens = false }: { readonly reopens?: boolean } = {},
): void {
  describe(`the ${name} broker against a model of deliveries`, () => {
    test('delivers, delays and sets aside like the model in any sequence', { timeout: TEST_MS_MAX }, async () => {
      const open = opener(factory);
      await fc.assert(
        // Without a bias towards short sequences, in which few deliveries come twice.
        fc.asyncProperty(fc.noBias(stepsArbitrary(reopens)), async (steps) => {
          const { broker, clock, reopen } = await open();
          const world = new World(broker, clock, reopen);
          for (const run of steps) {
            await run(world);
            await world.settle();
          }
          await world.end();
        }),
        {
          numRuns: RUNS,
          plugins: [
            fc.timeout(TEST_MS_MAX / 4),
            fc.interruptAfterTimeLimit(TEST_MS_MAX / 2, { failOnInterrupt: true }),
          ],
        },
      );
    });
  });
}
