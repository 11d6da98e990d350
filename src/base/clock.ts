// Time as a dependency. Everything that waits, ages or expires asks a Clock, so that a test can move
// time by hand and no behaviour depends on a sleep. The only owner of Date.now and setTimeout.
import type { StopSignal } from './stop-signal.ts';

export interface Timer {
  /** Idempotent; a cancelled timer never fires. */
  cancel(): void;
}

export interface Clock {
  /** Wall time in ms since 1970. For time stamps and JWTs only: it may jump. */
  now(): number;
  /** Monotonic ms from an arbitrary start. For every duration. */
  mono(): number;
  /** Calls back once after `ms`. Does not keep the process alive. */
  after(ms: number, callback: () => void): Timer;
}

/** A timeout longer than this fires at once, with a warning: the platform counts in 32 bits. Chats live longer. */
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
          : setTimeout(callback, left);
      timeout.unref();
    };
    wait(ms);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Now, as events and the wire write it. */
export function isoTime(clock: Clock): string {
  return new Date(clock.now()).toISOString();
}

/** Resolves after `ms`, or at once when the signal aborts: the caller looks at the signal. */
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
