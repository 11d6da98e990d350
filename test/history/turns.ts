// Waiting without time: turns of the event loop, in which I/O and everybody else get on. Only to give up on something
// takes real time, because what a busy machine still has to do cannot be told from what will never be done.
import { setImmediate } from 'node:timers/promises';

export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await setImmediate();
}

/** False where the condition did not come true in so many ms of a machine that does nothing else. */
export async function within(ms: number, step: () => Promise<void>, condition: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const start = performance.now(); performance.now() - start < ms; ) {
    if (await condition()) return true;
    await step();
  }
  return condition();
}
