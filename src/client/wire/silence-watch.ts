// Notices that nothing was heard for too long. A half-open connection looks open to every other means
// (`readyState`, a pending read): only the age of the last heartbeat tells. One timer, not one per token:
// hearing something only notes the time, and the timer looks at it when it rings.
import type { Environment } from '../environment.ts';

export class SilenceWatch {
  readonly #environment: Environment;
  readonly #onSilent: () => void;
  #limitMs: number;
  #heardAt: number;
  #cancel: (() => void) | undefined;

  /** Starts at once, so it also bounds how long opening may take. */
  constructor(environment: Environment, limitMs: number, onSilent: () => void) {
    this.#environment = environment;
    this.#limitMs = limitMs;
    this.#onSilent = onSilent;
    this.#heardAt = environment.now();
    this.#arm(limitMs);
  }

  /** How long ago something was heard. Negative after the wall clock was set back: then the timer decides alone. */
  get ageMs(): number {
    return this.#environment.now() - this.#heardAt;
  }

  received(): void {
    this.#heardAt = this.#environment.now();
  }

  /** From now on this much silence, counted from now, is too much. */
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
