// When the next attempt is made: one timer, the failures it depends on, and the side that asked for the wait. A
// returning device shortens the client's own wait; it does not shorten a wait that the server asked for.
import { askedWaitMs, BACK_OFF_BASE_MS, BACK_OFF_CAP_MS, backOffMs } from '../http/back-off.ts';
import type { Environment } from '../environment.ts';

export class ReconnectPlan {
  readonly #environment: Environment;
  readonly #connect: () => void;
  #failures = 0;
  #retryBaseMs = BACK_OFF_BASE_MS;
  #next: { readonly at: number; readonly wanted: 'by-us' | 'by-server'; readonly cancel: () => void } | undefined;

  constructor(environment: Environment, connect: () => void) {
    this.#environment = environment;
    this.#connect = connect;
  }

  /** The side that asked for the current wait; undefined without a wait. */
  get wanted(): 'by-us' | 'by-server' | undefined {
    return this.#next?.wanted;
  }

  get leftMs(): number {
    return Math.max(0, (this.#next?.at ?? 0) - this.#environment.now());
  }

  /** After one more failure. */
  backOff(): void {
    this.#failures += 1;
    this.#wait(backOffMs(this.#failures, this.#environment.random(), this.#retryBaseMs), 'by-us');
  }

  /** The server asked the client not to come back before this. */
  obey(afterMs: number): void {
    this.#wait(askedWaitMs(afterMs, this.#environment.random()), 'by-server');
  }

  /** The server's `retry:`: the upper bound of the first wait. */
  hint(retryMs: number): void {
    this.#retryBaseMs = Math.min(BACK_OFF_CAP_MS, retryMs);
  }

  forgetFailures(): void {
    this.#failures = 0;
  }

  cancel(): void {
    this.#next?.cancel();
    this.#next = undefined;
  }

  #wait(ms: number, wanted: 'by-us' | 'by-server'): void {
    this.cancel();
    this.#next = { at: this.#environment.now() + ms, wanted, cancel: this.#environment.after(ms, this.#connect) };
  }
}
