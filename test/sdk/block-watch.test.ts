// Whose code kept the event loop: the handler that did, at whichever of its steps, and never one that ran beside it.
import { AsyncResource } from 'node:async_hooks';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { BlockWatch } from '../../src/sdk/block-watch.ts';
import { eventually } from '../support/wait-for.ts';
import { slowed, timeLimit } from '../support/slowness.ts';

/** On a busy machine the watching thread itself gets its turn late: the beats must be longer than that. */
const BLOCKED_MS = slowed(500);
const SAMPLE = Symbol.for('holdline.sampleBlockedLoop');
/** More than it takes to be blamed. */
const SAMPLES = 10;

function rig(): { run: (work: () => Promise<void>) => Promise<number[]> } {
  const faults: unknown[] = [];
  const watch = new BlockWatch(systemClock, BLOCKED_MS, (error) => faults.push(error));
  onTestFinished(async () => {
    await watch.close();
    expect(faults).toEqual([]);
  });
  return {
    run: async (work) => {
      const blocked: number[] = [];
      await watch.run({ onStray: () => undefined, onBlocked: (ms) => blocked.push(ms) }, work);
      return blocked;
    },
  };
}

/** Code of no handler, such as the engine's own code between two steps of a handler. */
const outside = new AsyncResource('outside');

/** Counts how often the watchdog has interrupted this thread. `isOutside`: whether that sample finds code of no
 *  handler. */
function countSamples(isOutside: (sample: number) => boolean = () => false): () => number {
  const sample = Reflect.get(globalThis, SAMPLE) as (id: number) => void;
  let count = 0;
  Reflect.set(globalThis, SAMPLE, (id: number) => {
    count += 1;
    if (isOutside(count)) outside.runInAsyncScope(sample, undefined, id);
    else sample(id);
  });
  onTestFinished(() => {
    Reflect.set(globalThis, SAMPLE, sample);
  });
  return () => count;
}

/** Blocks the thread until the watchdog has interrupted it often enough. */
function compute(samples = SAMPLES, isOutside?: (sample: number) => boolean): void {
  const count = countSamples(isOutside);
  const givenUpAt = performance.now() + timeLimit(15_000);
  while (count() < samples) expect(performance.now()).toBeLessThan(givenUpAt);
}

function computeAtOnce(): Promise<void> {
  compute();
  return Promise.resolve();
}

describe('a handler that computes for longer than the lease', () => {
  it.each([
    ['at once', computeAtOnce],
    [
      'after a timer',
      async () => {
        await setTimeout(1);
        compute();
      },
    ],
    [
      'after a promise',
      async () => {
        await Promise.resolve();
        await Promise.resolve();
        compute();
      },
    ],
    [
      'in a callback',
      () =>
        new Promise<void>((resolve) => {
          globalThis.setImmediate(() => {
            compute();
            resolve();
          });
        }),
    ],
    [
      'in steps that never let the event loop turn',
      async () => {
        const count = countSamples();
        const givenUpAt = performance.now() + timeLimit(15_000);
        while (count() < SAMPLES) {
          await Promise.resolve();
          expect(performance.now()).toBeLessThan(givenUpAt);
        }
      },
    ],
  ])('%s is notified, and the one beside it is not', async (_when, handler) => {
    const { run } = rig();
    let isOver = false;
    const beside = run(async () => {
      while (!isOver) await setImmediate();
    });
    const blocked = await run(async () => {
      await handler();
      await setTimeout(BLOCKED_MS);
    });
    isOver = true;
    expect(blocked).toHaveLength(1);
    expect(blocked[0]).toBeGreaterThanOrEqual(BLOCKED_MS);
    expect(await beside).toEqual([]);
  });

  it('is notified also when it ends with the step that blocks', async () => {
    const { run } = rig();
    expect(await run(computeAtOnce)).toHaveLength(1);
  });

  it('is notified when single samples find no handler, as between two of its steps', async () => {
    const { run } = rig();
    const blocked = await run(async () => {
      await setTimeout(1);
      compute(20, (sample) => sample % 4 === 0);
    });
    expect(blocked).toHaveLength(1);
  });

  it('is not notified when most of the time was spent in code of no handler', async () => {
    const { run } = rig();
    const blocked = await run(async () => {
      await setTimeout(1);
      compute(20, (sample) => sample > 8);
      await setTimeout(1);
    });
    expect(blocked).toEqual([]);
  });

  it('is not notified when several handlers in turn keep the loop, each for less', async () => {
    const { run } = rig();
    const halves = Array.from({ length: 4 }, () =>
      run(async () => {
        await setTimeout(1);
        compute(3);
      }),
    );
    expect(await Promise.all(halves)).toEqual([[], [], [], []]);
  });

  it('is notified again by the watch of a second run, after a time without runs', async () => {
    const { run } = rig();
    expect(await run(() => setTimeout(1))).toEqual([]);
    await eventually(async () => (await run(computeAtOnce)).length === 1);
  });
});
