// Stops that an `abort` asked for. The client sends the same frame on Stop, when its component is removed, and for the
// first of two resumes. A page that comes back asks for its chat at once, so a Stop waits a moment for such a request.
import type { Clock, Timer } from '../../../base/clock.ts';

/** In ms. */
export const STOP_AFTER_MS = 300;
/** Stops of one socket that wait. One more is done at once. */
export const PENDING_STOPS_MAX = 256;

interface PendingStop {
  readonly timer: Timer;
  readonly stop: () => void;
}

export class PendingStops {
  readonly #clock: Clock;
  /** By session id. */
  readonly #pending = new Map<string, PendingStop>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(sessionId: string, stop: () => void): void {
    this.forget(sessionId);
    if (this.#pending.size >= PENDING_STOPS_MAX) {
      stop();
      return;
    }
    const timer = this.#clock.after(STOP_AFTER_MS, () => {
      this.#pending.delete(sessionId);
      stop();
    });
    this.#pending.set(sessionId, { timer, stop });
  }

  /** Another request for the chat has come. */
  forget(sessionId: string): void {
    this.#pending.get(sessionId)?.timer.cancel();
    this.#pending.delete(sessionId);
  }

  /** The socket is gone, so no other request comes on it. */
  close(): void {
    for (const [sessionId, { stop }] of [...this.#pending]) {
      this.forget(sessionId);
      stop();
    }
  }
}
