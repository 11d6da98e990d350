// Doing again what the log could not take now. A log that is full or away for a while makes a run wait and costs it
// nothing: what a model has said is not thrown away for it.
import { isBrokerError } from '../broker/errors.ts';
import { delay, type Clock } from '../base/clock.ts';

/** Pause before the next try. */
export const PERSIST_RETRY_MS = 250;

/** Only for what may be done twice, because the last try may have succeeded. Tries until the signal aborts.
 *  @throws what the action threw last, where another try is of no use or not wanted any more */
export async function persist<T>(clock: Clock, until: AbortSignal, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    return persistAfter(error, clock, until, action);
  }
}

/** As `persist`, for an action whose first try has failed with this. */
export async function persistAfter<T>(
  error: unknown,
  clock: Clock,
  until: AbortSignal,
  action: () => Promise<T>,
): Promise<T> {
  for (let last = error; ;) {
    if (!isBrokerError(last) || !last.retryable || until.aborted) throw last;
    await delay(clock, PERSIST_RETRY_MS, until);
    try {
      return await action();
    } catch (again) {
      last = again;
    }
  }
}
