// Time as a dependency: code that waits, ages or expires something takes a Clock, so that a test can move time by hand
// and no behaviour depends on a sleep. This file is the only owner of Date.now and setTimeout.
import type { StopSignal } from './stop-signal.ts';

export interface Timer {
  /** Idempotent; a cancelled timer never fires. */
  cancel(): void;
}

export interface Clock {
  /** Wall time in ms since 1970. For time stamps and JWTs only, because it may jump. */
  now(): number;
  /** Monotonic ms from an arbitrary start. For every duration. */
  mono(): number;
  /** Calls back once after `ms`, as soon as possible if that is negative. Does not keep the process alive. */
  after(ms: number, callback: () => void): Timer;
}

/** The longest timeout, in ms, that the platform supports: it counts in 32 bits, and a longer one fires at once with
 *  a warning. Chats last longer than this. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(ms, callback) {
    let timeout: NodeJS.Timeout;
    const wait = (left: number): void => {
      timeout =
        left > TIMEOUT_MS_MAX
          ? setTimeout(() => wait(left - TIMEOUT_MS_MAX), TIMEOUT_MS_MAX)
          : // Node 24 and later print a warning about a negative timeout.
            setTimeout(callback, Math.max(0, left));
      timeout.unref();
    };
    wait(ms);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** The wall time in ISO 8601, the form in which events and wires carry it. */
export function isoTime(clock: Clock): string {
  return new Date(clock.now()).toISOString();
}

/** Resolves after `ms`, or at once when the signal aborts. The caller checks the signal to tell which it was. */
export function delay(clock: Clock, ms: number, signal?: StopSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
