// Waiting without time: turns of the event loop, in which I/O and everybody else get on. Only to give up on something
// takes real time, because what a busy machine still has to do cannot be told from what will never be done.
import { setImmediate } from 'node:timers/promises';

export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await setImmediate();
}

/** Patience with something that gets on, in times of the patience with something that does not. */
const PROGRESS_FACTOR = 8;

/** False where the condition did not come true, and for so many ms nothing got on either. `progress`: any number that
 *  changes as long as something does. */
export async function within(
  ms: number,
  step: () => Promise<void>,
  condition: () => boolean | Promise<boolean>,
  progress: () => number = () => 0,
): Promise<boolean> {
  const begun = performance.now();
  let last = { at: begun, value: progress() };
  while (performance.now() - last.at < ms && performance.now() - begun < PROGRESS_FACTOR * ms) {
    if (await condition()) return true;
    await step();
    if (progress() !== last.value) last = { at: performance.now(), value: progress() };
  }
  return condition();
}
