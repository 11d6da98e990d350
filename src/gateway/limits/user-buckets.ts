// A bucket for each user of something that all users of this node share: it holds a burst and refills at a rate per
// second. An amount that is known only afterwards may take more than the bucket holds; the user then waits until the
// bucket has refilled.
import type { Clock } from '../../base/clock.ts';

/** Users whose bucket is kept. Beyond this number the user idle for the longest time is dropped and has a full bucket
 *  again. */
export const BUCKETS_MAX = 10_000;

export interface BucketLimits {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  /** Below 0: a debt. */
  readonly left: number;
  /** By the monotonic clock. */
  readonly at: number;
}

export class UserBuckets {
  readonly #limits: BucketLimits;
  readonly #clock: Clock;
  /** By user, in the order in which they last took something. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: BucketLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** ms until this user's bucket holds the amount, which is at most the burst. 0: it does now. */
  msUntil(user: string, amount: number): number {
    return Math.ceil((Math.max(0, amount - this.#left(user)) / this.#limits.perSecond) * 1000);
  }

  /** Takes the amount, also where the bucket holds less. */
  take(user: string, amount: number): void {
    const left = this.#left(user) - amount;
    this.#buckets.delete(user);
    this.#buckets.set(user, { left, at: this.#clock.mono() });
    if (this.#buckets.size <= BUCKETS_MAX) return;
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest);
      break;
    }
  }

  #left(user: string): number {
    const { perSecond, burst } = this.#limits;
    const bucket = this.#buckets.get(user);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.left + ((this.#clock.mono() - bucket.at) / 1000) * perSecond);
  }
}
