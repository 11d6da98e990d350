import { describe, expect, test } from 'vitest';
import { TurnSlice } from '../../src/base/turn-slice.ts';

/** A clock on which a look takes one ms. */
function tickingClock() {
  let now = 0;
  return { mono: () => now++ };
}

/** The number of items in each slice of a walk over ten items. */
async function slicesOf(slice: TurnSlice): Promise<number[]> {
  const sizes = [0];
  for (let item = 0; item < 10; item++) {
    sizes.push((sizes.pop() ?? 0) + 1);
    if (!slice.isOver()) continue;
    await slice.next();
    sizes.push(0);
  }
  return sizes;
}

describe('a slice', () => {
  test('is over after its time', async () => {
    const slice = new TurnSlice(tickingClock(), { sliceMs: 3, sliceItems: 100 });
    expect(await slicesOf(slice)).toEqual([3, 3, 3, 1]);
  });

  test('is over after its items, also on a clock that does not move', async () => {
    const slice = new TurnSlice({ mono: () => 0 }, { sliceMs: 3, sliceItems: 4 });
    expect(await slicesOf(slice)).toEqual([4, 4, 2]);
  });

  test('gives everything else a turn before the next one', async () => {
    const slice = new TurnSlice(tickingClock(), { sliceMs: 1, sliceItems: 1 });
    let turns = 0;
    const others = setInterval(() => (turns += 1), 0);
    for (let wait = 0; turns === 0 && wait < 1000; wait++) await slice.next();
    clearInterval(others);
    expect(turns).toBe(1);
  });

  test('begins again for a walk that waited for something else', () => {
    const clock = { now: 0, mono: () => clock.now };
    const slice = new TurnSlice(clock, { sliceMs: 3, sliceItems: 2 });
    expect(slice.isOver()).toBe(false);
    clock.now = 10;
    slice.begin();
    expect([slice.isOver(), slice.isOver()]).toEqual([false, true]);
  });
});
