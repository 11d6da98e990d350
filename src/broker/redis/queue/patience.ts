// Waits for work, but not too long.
import type { Clock, Timer } from '../../../base/clock.ts';

/** Resolves when the work is done, or after that time at the latest. @throws what the work threw until then */
export async function patience(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  let timer: Timer | undefined;
  const late = new Promise<void>((resolve) => {
    timer = clock.after(ms, resolve);
  });
  await Promise.race([work, late]);
  timer?.cancel();
}
