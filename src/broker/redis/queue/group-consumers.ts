// The consumers of one group on this node: which of them want deliveries and how many, and the deliveries that are
// ready for them. A consumer that requests again at once may be given more with the next round than it has requested:
// up to twice as many as the time before. What it does not request within READY_MS is given back, so a consumer that
// stops requesting delays no other.
import type { Clock } from '../../../base/clock.ts';
import type { ConsumeOptions } from '../../broker.ts';
import { isRetryable } from '../../errors.ts';
import { ATTEMPTS_MAX } from '../../dead-letters.ts';
import { creditOf } from '../../group/consume-options.ts';
import type { Lease } from '../../group/lease.ts';
import { PICK_MAX } from '../schedule/group-schedule.ts';
import type { Held, HeldLeases } from './held-leases.ts';

/** How long a delivery waits for the request of the consumer for which it was picked. */
export const READY_MS = 50;

/** A topic that was leased, with its record. */
interface Ready {
  readonly held: Held;
  readonly lease: Lease;
}

export interface Consumer {
  readonly options: ConsumeOptions;
  /** Deliveries held, ready, or being picked; at most `credit`. */
  held: number;
  hasLeft: boolean;
  /** Topics that were picked for the consumer and whose leases are under way. */
  coming: number;
  /** Deliveries beyond the last request, in their order. */
  ready: Ready[];
  /** How many deliveries the next round may pick for the consumer. */
  batch: number;
  /** Monotonic: when the consumer received its last delivery. */
  answeredAt: number;
  /** The one open request for a delivery. */
  asking:
    { readonly resolve: (lease: Lease | undefined) => void; readonly reject: (error: unknown) => void } | undefined;
  /** Ends the notifications of its present credit. */
  unsubscribe: (() => void) | undefined;
}

interface ConsumersOptions {
  readonly clock: Clock;
  readonly leases: HeldLeases;
  /** Called with deliveries that no consumer gets. */
  readonly giveBack: (held: Held) => void;
  /** Called when a consumer wants deliveries. */
  readonly onWanted: () => void;
}

export class GroupConsumers {
  readonly #options: ConsumersOptions;
  readonly #consumers = new Set<Consumer>();
  /** The consumers with an open request, the one that has waited longest first. */
  readonly #asking = new Set<Consumer>();

  constructor(options: ConsumersOptions) {
    this.#options = options;
  }

  /** A consumer has an open request that no topic was picked for, and credit. */
  get isWanting(): boolean {
    for (const consumer of this.#asking) if (wantedBy(consumer) > 0) return true;
    return false;
  }

  join(options: ConsumeOptions): Consumer {
    const consumer: Consumer = {
      options,
      held: 0,
      coming: 0,
      hasLeft: false,
      ready: [],
      batch: 1,
      answeredAt: -Infinity,
      asking: undefined,
      unsubscribe: undefined,
    };
    consumer.unsubscribe = options.present?.subscribe(() => this.#noteWanted(consumer));
    this.#consumers.add(consumer);
    return consumer;
  }

  leave(consumer: Consumer): void {
    consumer.hasLeft = true;
    this.#consumers.delete(consumer);
    consumer.unsubscribe?.();
    this.#answer(consumer, undefined);
    this.#giveBack(consumer);
  }

  leaveAll(): void {
    for (const consumer of this.#consumers) this.leave(consumer);
  }

  /** Resolves with the next delivery when there is one and the consumer has credit, or undefined when it has left. */
  next(consumer: Consumer): Promise<Lease | undefined> {
    if (consumer.hasLeft) return Promise.resolve(undefined);
    const isAtOnce = this.#options.clock.mono() - consumer.answeredAt < READY_MS;
    if (consumer.ready.length === 0) consumer.batch = isAtOnce ? Math.min(PICK_MAX, 2 * consumer.batch) : 1;
    return new Promise((resolve, reject) => {
      consumer.asking = { resolve, reject };
      this.#asking.add(consumer);
      this.#hand(consumer);
      if (this.#asking.has(consumer)) this.#options.onWanted();
    });
  }

  /** A delivery ended that the consumer has held. */
  freed(consumer: Consumer): void {
    consumer.held -= 1;
    this.#noteWanted(consumer);
  }

  ready(consumer: Consumer, held: Held, lease: Lease): void {
    if (consumer.hasLeft) {
      this.#options.giveBack(held);
      return;
    }
    const { attemptsMax = ATTEMPTS_MAX, onDeadLetter } = consumer.options;
    if (lease.attempt > attemptsMax) void this.#options.leases.bury(lease, onDeadLetter);
    else consumer.ready.push({ held, lease });
    this.#hand(consumer);
  }

  /** Keeps the request open after a retryable error: another partition may have a topic, and the engine's health
   *  reports the error. */
  refuse(consumer: Consumer, error: unknown): void {
    if (isRetryable(error)) return;
    const { asking } = consumer;
    consumer.asking = undefined;
    this.#asking.delete(consumer);
    asking?.reject(error);
  }

  refuseFirst(error: unknown): void {
    const [first] = this.#asking;
    if (first !== undefined) this.refuse(first, error);
  }

  /** For each delivery that is wanted, its consumer: first one for each open request, then more for the consumers that
   *  request again at once. */
  wanting(): Consumer[] {
    const wanting: Consumer[] = [];
    for (let n = 0, isMore = true; isMore && wanting.length < PICK_MAX; n += 1) {
      isMore = false;
      for (const consumer of this.#asking) {
        if (wantedBy(consumer) <= n) continue;
        if (wanting.length < PICK_MAX) wanting.push(consumer);
        isMore = true;
      }
    }
    return wanting;
  }

  /** Monotonic: when the first of the deliveries that no consumer requests must be given back. */
  get readyUntil(): number {
    let until = Infinity;
    for (const { ready, answeredAt } of this.#consumers)
      if (ready.length > 0) until = Math.min(until, answeredAt + READY_MS);
    return until;
  }

  giveBackUnclaimed(): void {
    const now = this.#options.clock.mono();
    for (const consumer of this.#consumers)
      if (consumer.ready.length > 0 && consumer.answeredAt + READY_MS <= now) this.#giveBack(consumer);
  }

  /** The consumer may hold more than before. */
  #noteWanted(consumer: Consumer): void {
    if (this.#asking.has(consumer)) this.#options.onWanted();
  }

  #answer(consumer: Consumer, lease: Lease | undefined): void {
    const { asking } = consumer;
    consumer.asking = undefined;
    consumer.answeredAt = this.#options.clock.mono();
    this.#asking.delete(consumer);
    asking?.resolve(lease);
  }

  /** Answers an open request with what is ready for the consumer. */
  #hand(consumer: Consumer): void {
    while (consumer.asking !== undefined) {
      const ready = consumer.ready.shift();
      if (ready === undefined) return;
      // It may have been lost meanwhile.
      if (!this.#options.leases.isCurrent(ready.held)) continue;
      ready.held.isDelivered = true;
      this.#answer(consumer, ready.lease);
    }
  }

  #giveBack(consumer: Consumer): void {
    const { ready } = consumer;
    consumer.ready = [];
    consumer.batch = 1;
    for (const { held } of ready) if (this.#options.leases.isCurrent(held)) this.#options.giveBack(held);
  }
}

function wantedBy({ batch, coming, held, options }: Consumer): number {
  return Math.min(batch - coming, creditOf(options) - held);
}
