// The credit of one agent's runs in this worker (credit-rule.ts), for the consumers of the agent's queues: they are
// notified when it changes, also when a rest ends.
import type { Clock, Timer } from '../base/clock.ts';
import { afterRun, creditNow, startingCredit, type CreditState, type RunEvidence } from './credit-rule.ts';

export class WorkerCredit {
  readonly #clock: Clock;
  readonly #max: number;
  /** One for each queue of the agent. */
  readonly #listeners = new Set<() => void>();
  #state: CreditState;
  #rest: Timer | undefined;

  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
    this.#state = startingCredit(max);
  }

  get credit(): number {
    return creditNow(this.#state, this.#clock.mono());
  }

  /** Returns a function that ends the notifications. */
  subscribe(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  note(evidence: RunEvidence): void {
    const now = this.#clock.mono();
    this.#state = afterRun(this.#state, evidence, this.#max, now);
    this.#rest?.cancel();
    this.#rest =
      this.#state.restUntil > now ? this.#clock.after(this.#state.restUntil - now, () => this.#changed()) : undefined;
    this.#changed();
  }

  close(): void {
    this.#rest?.cancel();
  }

  #changed(): void {
    for (const changed of this.#listeners) changed();
  }
}
