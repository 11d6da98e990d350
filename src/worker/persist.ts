// Retries an action that the log could not take. A log that is full or unavailable for a while delays a run but does
// not cost it the tokens that the model has already produced.
import { isRetryable } from '../broker/errors.ts';
import { delay, type Clock } from '../base/clock.ts';

/** The ms that `persist` waits before it tries its action again. */
export const PERSIST_RETRY_MS = 250;

/** Runs an action until it succeeds or the signal aborts. The action must be idempotent: its last try may have
 *  succeeded. @throws the last error, when it is not retryable or the signal has aborted */
export async function persist<T>(clock: Clock, until: AbortSignal, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    return persistAfter(error, clock, until, action);
  }
}

/** Like `persist`, for an action whose first try failed with `error`. */
export async function persistAfter<T>(
  error: unknown,
  clock: Clock,
  until: AbortSignal,
  action: () => Promise<T>,
): Promise<T> {
  for (let last = error; ;) {
    if (!isRetryable(last) || until.aborted) throw last;
    await delay(clock, PERSIST_RETRY_MS, until);
    try {
      return await action();
    } catch (again) {
      last = again;
    }
  }
}
