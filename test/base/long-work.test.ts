// Work in slices: which steps share a turn of the event loop, and the order of several pieces of work.
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { LongWork } from '../../src/base/long-work.ts';

/** A clock that each step moves. */
class StepClock {
  now = 0;

  mono(): number {
    return this.now;
  }
}

function* steps(clock: StepClock, count: number, onStep: () => void, stepMs = 1): Generator<undefined, undefined> {
  for (let i = 0; i < count; i += 1) {
    clock.now += stepMs;
    onStep();
    yield;
  }
}

/** Counts the turns until the work is done. */
async function turnsOf(work: Promise<void>): Promise<number> {
  let isDone = false;
  const done = work.then(() => (isDone = true));
  let turns = 0;
  for (; !(isDone as boolean); turns += 1) await setImmediate();
  await done;
  return turns;
}

it('does what is short in the turn in which it came', async () => {
  const clock = new StepClock();
  let taken = 0;
  const done = new LongWork(clock).run(steps(clock, 100, () => (taken += 1), 0));
  expect(taken).toBe(100);
  await done;
});

it('gives every other work a turn between two slices, and what follows a turn of its own', async () => {
  const clock = new StepClock();
  const perTurn: number[] = [];
  let taken = 0;
  const work = new LongWork(clock).run(steps(clock, 10, () => (taken += 1)));
  const turns = turnsOf(work);
  for (let before = 0; taken < 10;) {
    perTurn.push(taken - before);
    before = taken;
    await setImmediate();
  }
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(2);
  expect(await turns).toBeGreaterThan(5);
});

it('divides many steps that take no time', async () => {
  const clock = new StepClock();
  expect(await turnsOf(new LongWork(clock).run(steps(clock, 1000, () => undefined, 0)))).toBeGreaterThan(3);
});

it('continues one piece of long work at a time, in their order, also behind one that failed', async () => {
  const clock = new StepClock();
  const work = new LongWork(clock);
  const ended: string[] = [];
  const turns = new Map<number, Set<string>>();
  let turn = 0;
  let badSteps = 0;
  const note = (name: string) => (): void => {
    turns.set(turn, (turns.get(turn) ?? new Set()).add(name));
    if (name === 'bad' && (badSteps += 1) === 5) throw new Error('cannot be done');
  };
  const all = ['bad', 'first', 'second'].map((name) =>
    work.run(steps(clock, 12, note(name))).then(
      () => ended.push(name),
      () => ended.push(`${name} failed`),
    ),
  );
  const counted = Promise.all(all);
  for (; ended.length < all.length; turn += 1) await setImmediate();
  await counted;
  expect(ended).toEqual(['bad failed', 'first', 'second']);
  for (const [at, names] of turns) if (at > 0) expect([at, names.size]).toEqual([at, 1]);
});
