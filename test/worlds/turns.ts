// Waits that count turns of the event loop, in which I/O and all other parts make progress. Real time only ends a wait
// that fails, because no test can tell what a busy machine has still to do from what will never be done.
import { setImmediate } from 'node:timers/promises';

export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await setImmediate();
}

/** A wait with progress lasts at most this many times as long as a wait without progress. */
const PROGRESS_FACTOR = 8;

/** Repeats `step` until the condition holds. False when it does not hold and nothing made progress for `ms` real
 *  milliseconds. `progress`: any number that changes as long as something makes progress. */
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
