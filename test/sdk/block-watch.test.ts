// Whose code kept the event loop: the handler that did, at whichever of its steps, and never one that ran beside it.
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../src/clock.ts';
import { BlockWatch } from '../../src/sdk/block-watch.ts';
import { eventually } from '../helpers/collector.ts';

/** Time passes only where a handler computes. */
function rig(): { watch: BlockWatch; compute: (ms: number) => void } {
  let at = 0;
  const clock: Clock = { ...systemClock, mono: () => at };
  return { watch: new BlockWatch(clock, 1000), compute: (ms) => {
    at += ms;
  } };
}

describe('a handler that computes for longer than the lease', () => {
  it.each([
    ['at once', (compute: () => void) => {
      compute();
      return Promise.resolve();
    }],
    ['after a timer', async (compute: () => void) => {
      await setTimeout(1);
      compute();
    }],
    ['after a promise', async (compute: () => void) => {
      await Promise.resolve();
      await Promise.resolve();
      compute();
    }],
    ['in a callback', (compute: () => void) => new Promise<void>((resolve) => {
      setImmediate(() => {
        compute();
        resolve();
      });
    })],
  ])('%s is told, and the one beside it is not', async (_when, handler) => {
    const { watch, compute } = rig();
    const blocked: number[] = [];
    const innocent: number[] = [];
    const beside = watch.run(async () => {
      for (let i = 0; i < 20; i += 1) await setTimeout(1);
    }, (ms) => innocent.push(ms));
    await watch.run(() => handler(() => compute(20_000)), (ms) => blocked.push(ms));
    await beside;
    await eventually(() => blocked.length > 0);
    expect(blocked).toEqual([20_000]);
    expect(innocent).toEqual([]);
  });

  it('is not told of steps that are short, however many', async () => {
    const { watch, compute } = rig();
    const blocked: number[] = [];
    await watch.run(async () => {
      for (let i = 0; i < 10; i += 1) {
        compute(900);
        await setTimeout(1);
      }
    }, (ms) => blocked.push(ms));
    await setTimeout(1);
    expect(blocked).toEqual([]);
  });
});
