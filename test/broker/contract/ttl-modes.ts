// The contract on what a TTL counts from, on what holds a topic beyond it, and on the hard maximum.
import { describe, expect, test } from 'vitest';
import { TTL_MS_MIN, type Broker, type Delivery } from '../../../src/broker/broker.ts';
import { READER_TTL_MIN_MS } from '../../../src/broker/lifetime.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import type { ManualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/wait-for.ts';
import {
  CHAT,
  CollectedTail,
  QUEUE,
  append,
  infoOf,
  isMissing,
  major,
  minor,
  readLines,
  type OpenSubject,
} from './subject.ts';

const MINUTE = 60_000;
const TTL = 10 * MINUTE;
const REQUESTS = parseTopicPattern('request/agent/*');

export function ttlModeContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('a topic with a mode of its TTL', () => {
    absoluteContract(open);
    readerContract(open);
  });
  hardMaximumContract(open);
  clockJumpContract(open);
  if (reopens) keptContract(open);
}

/** Moves the clock in steps, so that an engine that looks at its topics from time to time can do so. */
async function pass(clock: ManualClock, broker: Broker, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 5_000) {
    await clock.advance(Math.min(5_000, left));
    await broker.describe([CHAT]);
  }
}

function absoluteContract(open: OpenSubject): void {
  test('of the mode absolute ends that long after it was made, whatever is written', async () => {
    const { broker, clock } = await open();
    await append(broker, CHAT, minor('a'), { ttlMs: TTL, ttlMode: 'absolute' });
    const expiresAt = clock.now() + TTL;
    for (const rest of [{}, { ttlMs: TTL }, { ttlMs: TTL, ttlMode: 'absolute' as const }]) {
      await clock.advance(3 * MINUTE);
      await append(broker, CHAT, minor('b'), rest);
      expect(await infoOf(broker, CHAT)).toMatchObject({ expiresAt, ttlMode: 'absolute', ttlMs: TTL });
    }
    await clock.advance(MINUTE - 1);
    expect(await isMissing(broker, CHAT)).toBe(false);
    await clock.advance(1);
    await eventually(() => isMissing(broker, CHAT));
  });

  test('of the mode absolute is extended by a longer TTL, and is not kept by its readers', async () => {
    const { broker, clock } = await open();
    const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: TTL, ttlMode: 'absolute' });
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(1);
    await clock.advance(5 * MINUTE);
    await append(broker, CHAT, [], { expect: { epoch }, ttlMs: 2 * TTL });
    await pass(clock, broker, 2 * TTL - 5 * MINUTE - 1);
    expect(await isMissing(broker, CHAT)).toBe(false);
    await pass(clock, broker, 1000);
    expect(await tail.verdict()).toMatchObject({ kind: 'reset', reason: 'expired', epoch });
  });

  test('may get another mode, from which on its TTL counts from the last write', async () => {
    const { broker, clock } = await open();
    await append(broker, CHAT, minor('a'), { ttlMs: TTL, ttlMode: 'absolute' });
    await clock.advance(9 * MINUTE);
    await append(broker, CHAT, [], { ttlMs: TTL, ttlMode: 'idle' });
    expect(await infoOf(broker, CHAT)).not.toHaveProperty('ttlMode');
    await clock.advance(TTL - 1);
    expect(await isMissing(broker, CHAT)).toBe(false);
    await clock.advance(1);
    await eventually(() => isMissing(broker, CHAT));
  });
}

function readerContract(open: OpenSubject): void {
  test('of the mode reader lives a minute, also with a shorter TTL', async () => {
    const { broker, clock } = await open();
    await append(broker, CHAT, minor('a'), { ttlMs: TTL_MS_MIN, ttlMode: 'reader' });
    await pass(clock, broker, READER_TTL_MIN_MS - 1);
    expect(await isMissing(broker, CHAT)).toBe(false);
    await pass(clock, broker, MINUTE);
    await eventually(() => isMissing(broker, CHAT));
  });

  test.each([false, true])(
    'of the mode reader is kept by its readers, and ends a TTL after the last has left (majors only: %s)',
    async (majorOnly) => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, major('a'), { ttlMs: TTL, ttlMode: 'reader' });
      const tails = [0, 0].map(() => new CollectedTail(broker, CHAT, { epoch, offset: 0 }, { majorOnly }));
      for (const tail of tails) await tail.reached(1);
      await pass(clock, broker, 2.5 * TTL);
      tails[0]?.abort();
      await tails[0]?.ended();
      // No extension coincides with the moment at which the last reader leaves.
      await pass(clock, broker, 2 * TTL + 2 * MINUTE);
      expect(await readLines(broker, CHAT)).toEqual(['0M:a']);
      tails[1]?.abort();
      await tails[1]?.ended();
      await pass(clock, broker, TTL - 1);
      expect(await isMissing(broker, CHAT)).toBe(false);
      await pass(clock, broker, TTL / 8 + MINUTE);
      await eventually(() => isMissing(broker, CHAT));
    },
  );

  test('of the mode reader without readers ends a TTL after its last write', async () => {
    const { broker, clock } = await open();
    await append(broker, CHAT, minor('a'), { ttlMs: TTL, ttlMode: 'reader' });
    await clock.advance(9 * MINUTE);
    await append(broker, CHAT, minor('b'));
    await clock.advance(TTL - 1);
    expect(await infoOf(broker, CHAT)).toMatchObject({ ttlMode: 'reader', expiresAt: clock.now() + 1 });
    await clock.advance(1);
    await eventually(() => isMissing(broker, CHAT));
  });

  test('of the mode reader is kept by a reader that comes just before its end', async () => {
    const { broker, clock } = await open();
    const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: TTL, ttlMode: 'reader' });
    await clock.advance(TTL - 2);
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(1);
    // An engine on another machine looks at the topic when the reader comes: its answers come in order.
    for (let i = 0; i < 3; i += 1) await broker.describe([CHAT]);
    await pass(clock, broker, 2 * TTL);
    expect(await isMissing(broker, CHAT)).toBe(false);
    await append(broker, CHAT, minor('b'));
    expect(await tail.reached(2)).toEqual(['0m:a', '1m:b']);
  });
}

function hardMaximumContract(open: OpenSubject): void {
  describe('a topic with a hard maximum', () => {
    test('ends then, however often it is written to, and with a reader', async () => {
      const { broker, clock } = await open();
      const made = { ttlMs: TTL, ttlMode: 'reader', hardMaxMs: 3 * TTL } as const;
      const { epoch } = await append(broker, CHAT, minor('a'), made);
      const endsAt = clock.now() + 3 * TTL;
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      await tail.reached(1);
      for (let i = 0; i < 3; i += 1) {
        await pass(clock, broker, TTL - 1000);
        // A later write cannot move it.
        await append(broker, CHAT, minor('b'), { ttlMs: TTL, hardMaxMs: 9 * TTL });
        expect((await infoOf(broker, CHAT)).endsAt).toBe(endsAt);
      }
      expect((await infoOf(broker, CHAT)).expiresAt).toBe(endsAt);
      await pass(clock, broker, 3000 - 1);
      expect(await isMissing(broker, CHAT)).toBe(false);
      await pass(clock, broker, 1000);
      expect(await tail.verdict()).toMatchObject({ kind: 'reset', reason: 'expired', epoch });
    });

    test('ends then without a TTL too', async () => {
      const { broker, clock } = await open();
      await append(broker, CHAT, minor('a'), { hardMaxMs: TTL });
      await clock.advance(9 * MINUTE);
      await append(broker, CHAT, minor('b'));
      expect(await infoOf(broker, CHAT)).toMatchObject({ expiresAt: clock.now() + MINUTE });
      await clock.advance(MINUTE);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('is held beyond its TTL by a group that has not consumed it, and then ends', async () => {
      const { broker, clock } = await open();
      const stop = new AbortController();
      const options = { credit: 1, visibilityMs: 100 * TTL, signal: stop.signal };
      const deliveries = broker.consume('workers', REQUESTS, options)[Symbol.asyncIterator]();
      await append(broker, QUEUE, major('0', '1'), { ttlMs: TTL, hardMaxMs: 3 * TTL });
      const delivery = (await deliveries.next()).value as Delivery;
      await pass(clock, broker, 3 * TTL - 1);
      expect(await isMissing(broker, QUEUE)).toBe(false);
      await pass(clock, broker, MINUTE + 1);
      await eventually(() => isMissing(broker, QUEUE));
      expect(await delivery.ack()).toBe(false);
      stop.abort();
    });
  });
}

/** How far a clock may jump without a second look, and so move the end of a topic. */
const JUMP = 60 * MINUTE;
const LONG_TTL = 2 * JUMP;

function clockJumpContract(open: OpenSubject): void {
  const jumps = [JUMP, -JUMP].flatMap((jump) =>
    (['idle', 'absolute', 'reader', 'hard maximum'] as const).map((mode) => [mode, jump / MINUTE] as const),
  );
  test.each(jumps)(
    'a topic of the mode %s ends at most an hour off when the clock jumps by %i minutes',
    async (mode, by) => {
      const { broker, clock } = await open();
      const life = mode === 'hard maximum' ? { hardMaxMs: LONG_TTL } : { ttlMs: LONG_TTL, ttlMode: mode };
      await append(broker, CHAT, minor('a'), life);
      await clock.advance(MINUTE);
      clock.jumpWall(by * MINUTE);
      await passSlowly(clock, broker, LONG_TTL - JUMP - 2 * MINUTE);
      expect(await isMissing(broker, CHAT)).toBe(false);
      await passSlowly(clock, broker, 2 * JUMP + 2 * MINUTE);
      await eventually(() => isMissing(broker, CHAT));
    },
  );

  test.each([[1], [-1]])('a reader keeps a topic when the clock jumps by %i hours', async (by) => {
    const { broker, clock } = await open();
    const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: LONG_TTL, ttlMode: 'reader' });
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(1);
    clock.jumpWall(by * JUMP);
    for (let left = LONG_TTL + JUMP; left > 0; left -= MINUTE) {
      await clock.advance(MINUTE);
      await broker.describe([CHAT]);
    }
    expect(await isMissing(broker, CHAT)).toBe(false);
  });
}

async function passSlowly(clock: ManualClock, broker: Broker, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 5 * MINUTE) {
    await clock.advance(Math.min(5 * MINUTE, left));
    await broker.describe([CHAT]);
  }
}

function keptContract(open: OpenSubject): void {
  test('a topic keeps the mode of its TTL, its birth and its hard maximum over a restart', async () => {
    const { broker, clock, reopen } = await open();
    await append(broker, CHAT, minor('a'), { ttlMs: TTL, ttlMode: 'absolute', hardMaxMs: 2 * TTL });
    await append(broker, QUEUE, minor('a'), { ttlMs: TTL, ttlMode: 'reader' });
    await clock.advance(5 * MINUTE);
    const before = [await infoOf(broker, CHAT), await infoOf(broker, QUEUE)];
    let again = await reopen();
    expect([await infoOf(again, CHAT), await infoOf(again, QUEUE)]).toEqual(before);
    await append(again, CHAT, minor('b'), { ttlMs: 3 * TTL });
    again = await reopen();
    expect(await infoOf(again, CHAT)).toMatchObject({
      ...before[0],
      next: 2,
      bytes: 2,
      ttlMs: 3 * TTL,
      expiresAt: before[0]?.endsAt,
    });
    await clock.advance(2 * TTL - 5 * MINUTE);
    await eventually(() => isMissing(again, CHAT));
  });
}
