// Any sequence of commands, against plain arrays, for cases that no example covers. Tails that were attached at any
// moment are checked at the end: each must have seen every offset of its topic's epoch once, in order.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine, LogItem, TopicWrite } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { eventually } from '../../support/wait-for.ts';
import type { ManualClock } from '../../support/manual-clock.ts';
import { timeLimit } from '../../support/slowness.ts';
import { ModelBroker, isMajor, offsetLines } from './model-state.ts';
import type { ModelTopic } from './model-state.ts';
import { CollectedTail, opener, outcome, readItems, topicName } from './subject.ts';
import type { SubjectFactory } from './subject.ts';

const RUNS = 100;
const RUN_MS_MAX = timeLimit(10_000);
const TEST_MS_MAX = timeLimit(180_000);
/** One shared last segment, so that one append may write to all of them. */
const TOPICS = ['chat/one', 'request/one', 'list/one'].map(topicName);
const MINUTE = 60_000;

interface Attached {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly from: number;
  readonly tail: CollectedTail;
  /** The model of the epoch that it follows, also after that epoch has ended. */
  readonly followed: ModelTopic;
}

interface Real {
  broker: BrokerEngine;
  readonly clock: ManualClock;
  readonly reopen: () => Promise<BrokerEngine>;
  tails: Attached[];
}

class World {
  readonly model = new ModelBroker();
  readonly real: Real;

  constructor(real: Real) {
    this.real = real;
  }

  /** If the model refuses, the broker must refuse with the same code; if it accepts, the answers must be the
   *  model's. */
  async append(writes: readonly TopicWrite[]): Promise<void> {
    const verdicts = writes.map((write) => this.model.judge(write));
    const refusals = verdicts
      .filter((verdict) => verdict !== 'accepted')
      .map((verdict) => (verdict === 'retried' ? 'accepted' : verdict));
    const before = writes.map(({ topic }) => this.model.topics.get(topic)?.slots.length ?? 0);
    if (refusals.length > 0) {
      // The contract does not say which of several reasons a refusal names.
      expect(refusals).toContain(await outcome(this.real.broker.append(writes)));
      return;
    }
    const answers = await this.real.broker.append(writes);
    for (const [i, write] of writes.entries()) {
      const first = before[i] ?? 0;
      const known = this.model.topics.get(write.topic)?.epoch;
      const epoch = answers[i]?.epoch ?? '';
      expect(answers[i]).toEqual({ epoch: known ?? epoch, first, next: first + write.records.length });
      expect(epoch).not.toBe(this.model.ended.get(write.topic)?.epoch);
      this.model.apply(write, epoch);
    }
  }

  async check(): Promise<void> {
    const infos = await this.real.broker.describe(TOPICS);
    for (const [i, name] of TOPICS.entries()) {
      const topic = this.model.topics.get(name);
      if (topic === undefined) {
        expect(infos[i]).toBeUndefined();
        continue;
      }
      const bytes = topic.slots.reduce<number>(
        (sum, slot) => sum + (typeof slot === 'number' ? 0 : Buffer.byteLength(slot.data)),
        0,
      );
      const { epoch, fence, slots } = topic;
      expect(infos[i]).toMatchObject({
        epoch,
        fence,
        next: slots.length,
        lastMajor: slots.findLastIndex(isMajor),
        bytes,
      });
    }
    const { topics } = await this.real.broker.list(parseTopicPattern('*/one'), { limit: 10 });
    expect(topics.map(({ topic }) => topic)).toEqual([...this.model.topics.keys()].toSorted());
  }

  async settleTails(): Promise<void> {
    for (const { topic, epoch, from, tail, followed } of this.real.tails) {
      if (this.model.topics.get(topic) === followed) {
        if (followed.slots.length > from) await tail.reached(followed.slots.length);
      } else {
        expect(await tail.verdict()).toMatchObject({ kind: 'reset' });
      }
      let next = from;
      for (const line of perOffset(tail.items)) {
        const record = followed.written[next];
        if (line.includes('>')) expect(line).toMatch(new RegExp(`^${next}>[0-9]+$`));
        else expect(line).toBe(`${next}${record?.major === true ? 'M' : 'm'}:${record?.data}`);
        if (line.includes('>')) expect(record?.major).toBe(false);
        next += 1;
      }
      expect(next).toBeLessThanOrEqual(Math.max(from, followed.slots.length));
      expect(followed.epoch).toBe(epoch);
    }
    this.real.tails = [];
  }
}

/** One command; its text makes a counterexample readable. */
class Step {
  readonly run: (world: World) => Promise<void>;
  readonly #text: string;

  constructor(text: string, run: (world: World) => Promise<void>) {
    this.#text = text;
    this.run = run;
  }

  toString(): string {
    return this.#text;
  }
}

const topicArbitrary = fc.constantFrom(...TOPICS);
const recordsArbitrary = fc.array(
  fc.record({ major: fc.constantFrom(false, false, false, true), data: fc.constantFrom('', 'a', 'token', '€', '𝄞 x') }),
  { maxLength: 4 },
);
const fraction = fc.double({ min: 0, max: 1, noNaN: true });

/** An offset that is valid or just beyond, near the limits where engines err. */
function offsetIn(topic: ModelTopic | undefined, at: number): number {
  return Math.round(at * ((topic?.slots.length ?? 0) + 1));
}

function mostly<const First, const Rest>(first: First, ...rest: readonly Rest[]): fc.Arbitrary<First | Rest> {
  return fc.oneof(
    { arbitrary: fc.constant(first), weight: 2 * rest.length },
    { arbitrary: fc.constantFrom(...rest), weight: rest.length },
  );
}

const wishArbitrary = fc.record({
  topic: topicArbitrary,
  records: recordsArbitrary,
  // Mostly appends that are accepted; otherwise the topics would stay empty.
  expectation: mostly('create', 'epoch', 'absent', 'stale'),
  condition: fc.oneof({ arbitrary: fc.constant(undefined), weight: 6 }, { arbitrary: fraction, weight: 1 }),
  fenced: mostly(undefined, 'take', 'next', 'next', 'next', 'again', 'skip', 'other'),
  supersedes: fc.option(fc.record({ at: fraction, length: fc.nat({ max: 4 }), fit: mostly(true, false) }), {
    nil: undefined,
    freq: 2,
  }),
  ttlMs: fc.constantFrom(undefined, undefined, MINUTE, 2 * MINUTE),
});
type Wish = typeof wishArbitrary extends fc.Arbitrary<infer T> ? T : never;

function writeFor(wish: Wish, topic: ModelTopic | undefined): TopicWrite {
  const epoch = topic?.epoch ?? 'none';
  const expectation = {
    create: { create: true },
    epoch: { epoch },
    absent: { absent: true },
    stale: { epoch: 'stale' },
  } as const;
  return {
    topic: wish.topic,
    records: wish.records,
    expect: expectation[wish.expectation],
    ...(wish.condition === undefined ? {} : { ifUnchanged: { epoch, offset: offsetIn(topic, wish.condition) - 1 } }),
    ...(wish.fenced === undefined ? {} : fencedPart(wish.fenced, wish.records.length === 0, topic)),
    ...(wish.supersedes === undefined || wish.records.length === 0
      ? {}
      : { supersedes: ranges(wish.supersedes, topic) }),
    ...(wish.ttlMs === undefined ? {} : { ttlMs: wish.ttlMs }),
  };
}

/** A range that should fit: from the first minor record (or hole) at or after the given offset up to the next major
 *  record. */
function ranges(
  { at, length, fit }: NonNullable<Wish['supersedes']>,
  topic: ModelTopic | undefined,
): readonly (readonly [number, number])[] {
  const start = offsetIn(topic, at);
  if (!fit) return [[start, start + length]];
  const slots = topic?.slots ?? [];
  const from = slots.findIndex((slot, offset) => offset >= start && !isMajor(slot));
  const stop = slots.findIndex((slot, offset) => offset > from && isMajor(slot));
  return from < 0 ? [] : [[from, Math.min(from + length, (stop < 0 ? slots.length : stop) - 1)]];
}

function fencedPart(
  how: NonNullable<Wish['fenced']>,
  empty: boolean,
  topic: ModelTopic | undefined,
): Partial<TopicWrite> {
  if (how === 'take' || (topic?.fence === -1 && how !== 'other')) return empty ? {} : { takeFence: true };
  const seq = (topic?.seq ?? 0) + { next: 1, again: 0, skip: 2, other: 1 }[how];
  const fence = Math.max(0, topic?.fence ?? 0) + (how === 'other' ? 1 : 0);
  return { expect: { epoch: topic?.epoch ?? 'none' }, fence: { fence, seq: Math.max(1, seq) } };
}

const appendArbitrary = wishArbitrary.map(
  (wish) =>
    new Step(`append ${JSON.stringify(wish)}`, (world) =>
      world.append([writeFor(wish, world.model.topics.get(wish.topic))]),
    ),
);

const appendManyArbitrary = fc
  .uniqueArray(wishArbitrary, { minLength: 2, maxLength: 3, selector: ({ topic }) => topic })
  .map(
    (wishes) =>
      new Step(`append ${JSON.stringify(wishes)}`, async (world) => {
        // Without retries: a retry is judged for the append as a whole. The examples in fence.ts cover it.
        const plain = wishes.map((wish) => ({ ...wish, fenced: wish.fenced === 'take' ? wish.fenced : undefined }));
        await world.append(plain.map((wish) => writeFor(wish, world.model.topics.get(wish.topic))));
      }),
  );

const readArbitrary = fc
  .record({
    topic: topicArbitrary,
    at: fraction,
    direction: fc.constantFrom('forward', 'backward'),
    maxRecords: fc.integer({ min: 1, max: 5 }),
    majorOnly: fc.boolean(),
  })
  .map((wish) => new Step(`read ${JSON.stringify(wish)}`, ({ model, real }) => compareRead(model, real, wish)));

interface ReadWish {
  readonly topic: LiteTopicName;
  readonly at: number;
  readonly direction: 'forward' | 'backward';
  readonly maxRecords: number;
  readonly majorOnly: boolean;
}

async function compareRead(
  model: ModelBroker,
  { broker }: Real,
  { topic: name, at, direction, maxRecords, majorOnly }: ReadWish,
): Promise<void> {
  const topic = model.topics.get(name);
  const ended = model.ended.get(name);
  if (topic === undefined) {
    expect(await broker.read(name, 'earliest')).toEqual(
      ended === undefined ? { kind: 'missing' } : { kind: 'reset', earliest: 0, ...ended },
    );
    return;
  }
  const from = Math.min(offsetIn(topic, at), topic.slots.length);
  const items = await readItems(
    broker,
    name,
    { epoch: topic.epoch, offset: from },
    { direction, maxRecords, majorOnly },
  );
  const wanted =
    direction === 'backward'
      ? offsetLines(topic.slots, 0, from + 1).reverse()
      : offsetLines(topic.slots, from, topic.slots.length);
  expect(perOffset(items, direction)).toEqual(majorOnly ? wanted.filter((line) => /^\d+M:/.test(line)) : wanted);
}

const tailArbitrary = fc.record({ topic: topicArbitrary, at: fraction }).map(
  (wish) =>
    new Step(`tail ${JSON.stringify(wish)}`, async ({ model, real }) => {
      const followed = model.topics.get(wish.topic);
      if (followed === undefined) return;
      const from = Math.min(offsetIn(followed, wish.at), followed.slots.length);
      const tail = new CollectedTail(real.broker, wish.topic, { epoch: followed.epoch, offset: from });
      real.tails.push({ topic: wish.topic, epoch: followed.epoch, from, followed, tail });
    }),
);

const removeArbitrary = topicArbitrary.map(
  (name) =>
    new Step(`remove ${name}`, async ({ model, real }) => {
      expect(await real.broker.remove(name)).toBe(model.end(name, 'removed'));
    }),
);

const passArbitrary = fc.constantFrom(MINUTE / 2, MINUTE, 3 * MINUTE).map(
  (ms) =>
    new Step(`pass ${ms}`, async ({ model, real }) => {
      model.pass(ms);
      await real.clock.advance(ms);
      const gone = TOPICS.filter((name) => !model.topics.has(name));
      await eventually(async () => (await real.broker.describe(gone)).every((info) => info === undefined));
    }),
);

const reopenStep = new Step('reopen', async (world) => {
  await world.settleTails();
  world.real.broker = await world.real.reopen();
  await world.check();
});

const stepsArbitrary = (reopens: boolean): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { arbitrary: appendArbitrary, weight: 12 },
      { arbitrary: appendManyArbitrary, weight: 3 },
      { arbitrary: readArbitrary, weight: 5 },
      { arbitrary: tailArbitrary, weight: 2 },
      { arbitrary: removeArbitrary, weight: 1 },
      { arbitrary: passArbitrary, weight: 1 },
      { arbitrary: fc.constant(reopenStep), weight: reopens ? 1 : 0 },
    ),
    { minLength: 1, maxLength: 60, size: 'max' },
  );

export function brokerModel(
  name: string,
  factory: SubjectFactory,
  { reopens = false }: { readonly reopens?: boolean } = {},
): void {
  describe(`the ${name} broker against a model of plain arrays`, () => {
    test('behaves like the model under any sequence of commands', { timeout: TEST_MS_MAX }, async () => {
      const open = opener(factory);
      await fc.assert(
        fc.asyncProperty(stepsArbitrary(reopens), async (steps) => {
          const world = new World({ ...(await open()), tails: [] });
          for (const step of steps) await step.run(world);
          await world.check();
          await world.settleTails();
          await world.real.broker.close();
        }),
        // A reader that never ends fails its run, so that the report shows the counterexample and not only a time-out.
        {
          numRuns: RUNS,
          plugins: [fc.timeout(RUN_MS_MAX), fc.interruptAfterTimeLimit(TEST_MS_MAX / 2, { failOnInterrupt: true })],
        },
      );
    });
  });
}

/** One line for each offset: `3m:text` or `3>12`. */
function perOffset(items: readonly LogItem[], direction: 'forward' | 'backward' = 'forward'): string[] {
  return items.flatMap((item) => {
    if (item.kind === 'record') return [`${item.offset}${item.major ? 'M' : 'm'}:${item.data}`];
    const by = item.kind === 'lost' ? 'lost' : item.by;
    const hole = Array.from({ length: item.to - item.from + 1 }, (_, i) => `${item.from + i}>${by}`);
    return direction === 'forward' ? hole : hole.reverse();
  });
}
