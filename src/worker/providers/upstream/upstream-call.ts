// One call to a model server. It ends when the caller aborts, when the server is silent for too long, or when it is
// closed; then its signal aborts and the socket closes. One timer serves the whole call. This is on the path of every
// token, so `expectBytesWithin` only writes a deadline; the timer checks it when it fires, and is set again for the
// rest.
import type { Clock, Timer } from '../../../base/clock.ts';

export class UpstreamCall {
  readonly #clock: Clock;
  readonly #caller: AbortSignal;
  readonly #controller = new AbortController();
  #deadline = Infinity;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #silent = false;

  constructor(clock: Clock, caller: AbortSignal) {
    this.#clock = clock;
    this.#caller = caller;
    if (caller.aborted) this.#controller.abort();
    else caller.addEventListener('abort', this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#caller.aborted;
  }

  /** The call ended because no byte came in time. */
  get silent(): boolean {
    return this.#silent;
  }

  expectBytesWithin(ms: number): void {
    this.#deadline = this.#clock.mono() + ms;
    if (this.#timerAt > this.#deadline) this.#setTimer(ms);
  }

  /** Suspends the timeout until the next expectation: the time of a slow reader is not the server's. */
  expectNothing(): void {
    this.#deadline = Infinity;
  }

  /** Idempotent. */
  close(): void {
    this.#timer?.cancel();
    this.#deadline = Infinity;
    this.#caller.removeEventListener('abort', this.#abort);
    this.#controller.abort();
  }

  readonly #abort = (): void => this.#controller.abort();

  #setTimer(ms: number): void {
    this.#timer?.cancel();
    this.#timerAt = this.#clock.mono() + ms;
    this.#timer = this.#clock.after(ms, () => this.#wake());
  }

  #wake(): void {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    if (this.#deadline === Infinity) return;
    const leftMs = this.#deadline - this.#clock.mono();
    if (leftMs > 0) {
      this.#setTimer(Math.ceil(leftMs));
      return;
    }
    this.#silent = true;
    this.#controller.abort();
  }
}
