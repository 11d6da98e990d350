// When a refused request may be retried. Pure: the caller owns the clock, the random number and the wait. Exponential
// back-off with full jitter, so that a thousand runs that are refused together do not retry together.
import type { UpstreamLimits } from './upstream-limits.ts';

export interface FailedAttempt {
  /** Attempts so far, including this one. */
  readonly attempts: number;
  /** ms since the first attempt began. */
  readonly elapsedMs: number;
  /** The server's Retry-After, in ms from now. */
  readonly retryAfterMs: number | undefined;
  /** In [0, 1). */
  readonly dice: number;
}

/** ms to wait before the next attempt; undefined: give up. */
export function retryDelayMs(failed: FailedAttempt, limits: UpstreamLimits): number | undefined {
  if (failed.attempts >= limits.attemptsMax) return undefined;
  const ceiling = Math.min(limits.backoffCapMs, limits.backoffBaseMs * 2 ** (failed.attempts - 1));
  // Added to Retry-After, not instead of it: the server gives all clients the same moment.
  const delayMs = (failed.retryAfterMs ?? 0) + failed.dice * ceiling;
  return failed.elapsedMs + delayMs > limits.retryWindowMs ? undefined : delayMs;
}

/** A Retry-After header as ms from `nowMs` (wall time), never negative; undefined when it has neither of the two
 *  valid forms. [RFC 9110 §10.2.3] */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  // Date.parse takes almost anything ("apples 7" is a date in July); an HTTP date begins with a weekday and ends with
  // GMT.
  if (!/^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .{10,30} GMT$/.test(header)) return undefined;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
