// Detects that a connection was silent for too long. A half-open connection looks open to every other check
// (`readyState`, a pending read); only the age of the last heartbeat shows it. One timer, not one per token: a received
// frame only stores the time, and the timer compares it when it fires.
import type { Environment } from '../environment.ts';

export class SilenceWatch {
  readonly #environment: Environment;
  readonly #onSilent: () => void;
  #limitMs: number;
  #heardAt: number;
  #cancel: (() => void) | undefined;

  /** Starts at once, so it also limits how long opening may take. */
  constructor(environment: Environment, limitMs: number, onSilent: () => void) {
    this.#environment = environment;
    this.#limitMs = limitMs;
    this.#onSilent = onSilent;
    this.#heardAt = environment.now();
    this.#arm(limitMs);
  }

  /** Milliseconds since the last frame. Negative after the wall clock was set back: then only the timer decides. */
  get ageMs(): number {
    return this.#environment.now() - this.#heardAt;
  }

  received(): void {
    this.#heardAt = this.#environment.now();
  }

  /** Changes the limit; the silence counts from now. */
  expectWithin(limitMs: number): void {
    this.#limitMs = limitMs;
    this.#heardAt = this.#environment.now();
    this.#arm(limitMs);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(ms: number): void {
    this.#cancel?.();
    this.#cancel = this.#environment.after(ms, () => this.#ring());
  }

  #ring(): void {
    this.#cancel = undefined;
    const left = this.#limitMs - this.ageMs;
    if (left <= 0) this.#onSilent();
    else this.#arm(Math.min(left, this.#limitMs));
  }
}
