// How long to wait before the next attempt: exponential with full jitter, so that ten thousand clients of a lost server
// do not reconnect in step. Pure: randomness is a parameter, and no function waits.

/** Upper bound of the first wait; a server's `retry:` replaces it. */
export const BACK_OFF_BASE_MS = 250;
/** No wait that the client chooses itself is longer, however many attempts failed. */
export const BACK_OFF_CAP_MS = 20_000;
/** A server may ask for a longer wait than the client's own cap, but not for an endless one. */
export const ASKED_WAIT_MS_MAX = 5 * 60_000;

/** Milliseconds before attempt number `failures` + 1: uniform in [0, min(cap, base · 2^(failures − 1))). */
export function backOffMs(failures: number, random: number, baseMs: number = BACK_OFF_BASE_MS): number {
  const ceiling = Math.min(BACK_OFF_CAP_MS, Math.max(1, baseMs) * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.floor(random * ceiling);
}

/**
 * Milliseconds for a wait that the server asked for: never less than asked, plus a little jitter, because a
 * `Retry-After` in whole seconds would bring every refused client back in the same instant.
 */
export function askedWaitMs(afterMs: number, random: number): number {
  const asked = Math.min(ASKED_WAIT_MS_MAX, Math.max(0, afterMs));
  return Math.floor(asked + random * Math.min(BACK_OFF_BASE_MS, asked));
}

/** `Retry-After` in either of its forms: seconds, or an HTTP date. Undefined where it is neither. */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^[0-9]+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
