// The credit of one agent's runs in this worker (credit-rule.ts), for the consumers of the agent's queues: they are
// notified when it changes, also when a rest ends.
import type { Clock, Timer } from '../base/clock.ts';
import { afterRun, creditNow, rested, startingCredit, type CreditState, type RunEvidence } from './credit-rule.ts';

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
    const { restUntil } = this.#state;
    this.#rest = restUntil > now ? this.#clock.after(restUntil - now, () => this.#restEnded()) : undefined;
    this.#changed();
  }

  close(): void {
    this.#rest?.cancel();
  }

  /** The timer ends the rest, and not the time: a timer may fire a little before its time by the monotonic clock, and
   *  the consumers are not notified again. */
  #restEnded(): void {
    this.#rest = undefined;
    this.#state = rested(this.#state);
    this.#changed();
  }

  #changed(): void {
    for (const changed of this.#listeners) changed();
  }
}
