// What keeps a flow from being served for a time: its limits. A closed gate has the flows that wait for it, and the
// schedule leaves those out until it opens. Pure: time is an argument (monotonic ms).
import type { FlowPolicy, Rate, FlowLimit } from '../flow-policy.ts';

/** How long a bucket may stay below zero, so that one wrong report cannot stop a flow for days. */
export const DEBT_MS_MAX = 60 * 60 * 1000;

/** A flow that waits for a gate. */
export interface ParkedFlow {
  /** The same for all flows of one schedule. */
  readonly schedule: unknown;
  /** The gate may be open: the flow is to be looked at again. */
  unpark(): void;
}

/** A leaky bucket as one number: the time at which it is full again. [GCRA, ITU-T I.371] */
class Bucket {
  readonly #perMs: number;
  readonly #burst: number;
  #fullAt = -Infinity;

  constructor({ perSecond, burst }: Rate) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
  }

  /** When it has one unit again; not after `now` if it has one. */
  get opensAt(): number {
    return this.#fullAt - (this.#burst - 1) / this.#perMs;
  }

  /** In which these units flow in. */
  msOf(units: number): number {
    return units / this.#perMs;
  }

  get fullAt(): number {
    return this.#fullAt;
  }

  take(units: number, now: number): void {
    this.#fullAt = Math.max(this.#fullAt, now);
    this.correct(units, now);
  }

  /** Takes more, or gives back, as if it had been so when they were taken. */
  correct(units: number, now: number): void {
    const latest = Math.max(now, now + this.#burst / this.#perMs) + DEBT_MS_MAX;
    this.#fullAt = Math.min(latest, this.#fullAt + units / this.#perMs);
  }
}

/** The limits of one flow. */
export class FlowGate {
  readonly key: string;
  readonly parked = new Set<ParkedFlow>();
  /** Flows that have it. */
  users = 0;
  /** Closed until it is resumed. */
  isPaused = false;
  readonly #concurrent: number;
  readonly #deliveries: Bucket | undefined;
  readonly #tokens: Bucket | undefined;
  #held = 0;

  constructor(key: string, { concurrent = Infinity, deliveryRate, tokenRate }: FlowPolicy) {
    this.key = key;
    this.#concurrent = concurrent;
    this.#deliveries = deliveryRate && new Bucket(deliveryRate);
    this.#tokens = tokenRate && new Bucket(tokenRate);
  }

  /** Not after `now`: it is open. Infinity: it opens when a delivery is settled. */
  get opensAt(): number {
    if (this.isPaused || this.#held >= this.#concurrent) return Infinity;
    return Math.max(this.#deliveries?.opensAt ?? -Infinity, this.#tokens?.opensAt ?? -Infinity);
  }

  /** What it means for a topic with so many of its flow ahead, each of which costs what is guessed. */
  limit(ahead: number, guess: number, now: number): FlowLimit {
    return {
      ahead,
      held: this.#held,
      concurrent: this.#concurrent,
      opensInMs: Math.max(0, (this.#deliveries?.opensAt ?? now) - now, (this.#tokens?.opensAt ?? now) - now),
      everyMs: Math.max(this.#deliveries?.msOf(1) ?? 0, this.#tokens?.msOf(guess) ?? 0),
    };
  }

  /** When nothing of what it has counted matters any more. */
  get restsAt(): number {
    if (this.#held > 0) return Infinity;
    return Math.max(this.#deliveries?.fullAt ?? -Infinity, this.#tokens?.fullAt ?? -Infinity);
  }

  /** A delivery begins, and will cost so many tokens as is guessed. */
  take(guess: number, now: number): void {
    this.#held += 1;
    this.#deliveries?.take(1, now);
    this.#tokens?.take(guess, now);
  }

  /** A delivery under way costs so many tokens more than was guessed. */
  correct(tokens: number, now: number): void {
    this.#tokens?.correct(tokens, now);
  }

  /** A delivery ends that cost so many tokens more than was guessed. `unused`: it was not made. */
  settle(tokens: number, now: number, how: 'served' | 'unused'): void {
    this.#held -= 1;
    if (how === 'unused') this.#deliveries?.correct(-1, now);
    this.#tokens?.correct(tokens, now);
  }
}
