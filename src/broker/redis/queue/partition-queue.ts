// One partition as this node knows it for one group: asks it for something to deliver, once at a time, and learns from
// every reply and from what is published how the queue stands there. It is to be looked at again when a lease or a
// pause there ends, or when there is reason to believe that something was missed.
import type { Clock } from '../../../base/clock.ts';
import type { Priority } from '../../broker.ts';
import { isBrokerError } from '../../errors.ts';
import type { GroupQueue, Taken } from './group-queue.ts';
import type { QueueView } from './queue-view.ts';

/** A partition that cannot be reached is left alone this long, and so is a record that cannot be read. */
export const RETRY_MS = 1000;

export class PartitionQueue {
  readonly #queue: GroupQueue;
  readonly #partition: number;
  readonly #clock: Clock;
  #view: QueueView | undefined;
  /** Monotonic: when `#view.due` is. */
  #dueAt = Infinity;
  /** Monotonic: when to look whatever the view says. */
  #staleAt = -Infinity;
  #isLookedAt = false;
  #isTakenFrom = false;
  /** How often something was heard of it. */
  #updates = 0;

  constructor(queue: GroupQueue, partition: number, clock: Clock) {
    this.#queue = queue;
    this.#partition = partition;
    this.#clock = clock;
  }

  get isLookedAt(): boolean {
    return this.#isLookedAt;
  }

  /** A take is on its way, so it is not known what waits there. */
  get isTakenFrom(): boolean {
    return this.#isTakenFrom;
  }

  /** Monotonic. */
  get lookAt(): number {
    return Math.min(this.#dueAt, this.#staleAt);
  }

  /** The turn of the first topic that waits in this class. */
  head(priority: Priority): number | undefined {
    return this.#view?.heads[priority];
  }

  /** The calls from here on throw what GroupQueue's throw. */
  async open(): Promise<void> {
    await this.#ask(async () => ({ view: await this.#queue.open(this.#partition) }));
  }

  async look(): Promise<void> {
    this.#isLookedAt = true;
    try {
      await this.#ask(async () => ({ view: await this.#queue.look(this.#partition) }));
    } finally {
      this.#isLookedAt = false;
    }
  }

  async take(priority: Priority, token: string, visibilityMs: number): Promise<Taken | undefined> {
    this.#isTakenFrom = true;
    try {
      const { taken } = await this.#ask(() => this.#queue.take(this.#partition, priority, token, visibilityMs));
      return taken;
    } finally {
      this.#isTakenFrom = false;
    }
  }

  async ack(taken: Taken, next: number, keep = false): Promise<'done' | 'kept' | 'lost'> {
    const sentAt = this.#clock.mono();
    const { outcome, view } = await this.#queue.ack(this.#partition, taken, next, keep);
    this.#replied(view, sentAt);
    return outcome;
  }

  /** False: the lease was lost. */
  async nack(taken: Taken, delayMs: number): Promise<boolean> {
    return (await this.#nack([taken], delayMs, true)) > 0;
  }

  extend(taken: Taken, visibilityMs: number): Promise<boolean> {
    return this.#queue.extend(this.#partition, taken, visibilityMs);
  }

  /** What nobody here holds any more, if Redis can be told; `count`: was it delivered? */
  async giveBack(
    taken: readonly Taken[],
    { delayMs = 0, count }: { readonly delayMs?: number; readonly count: boolean },
  ): Promise<void> {
    try {
      await this.#nack(taken, delayMs, count);
    } catch (error) {
      // Then the leases run out, which comes to the same a little later.
      if (!isBrokerError(error)) throw error;
    }
  }

  /** Published, by this node or another. By the server's clock: what is computed too early is found out by looking. */
  notified(view: QueueView): void {
    if (this.#isOld(view) || view.turn === this.#view?.turn) return;
    const isSameDue = this.#view?.due === view.due;
    this.#updates += 1;
    this.#view = view;
    if (isSameDue) return;
    const age = Math.max(0, this.#clock.now() - view.now);
    this.#dueAt = view.due === undefined ? Infinity : this.#clock.mono() - age + view.due - view.now;
  }

  /** Something may have been missed. */
  recheck(): void {
    this.#staleAt = Math.min(this.#staleAt, this.#clock.mono());
  }

  async #nack(taken: readonly Taken[], delayMs: number, count: boolean): Promise<number> {
    const sentAt = this.#clock.mono();
    const { held, view } = await this.#queue.nack(this.#partition, taken, { delayMs, count });
    this.#replied(view, sentAt);
    return held;
  }

  /** Where nothing was heard meanwhile the reply counts even if its turn is older: another server may have taken over. */
  async #ask<T extends { readonly view: QueueView }>(ask: () => Promise<T>): Promise<T> {
    const sentAt = this.#clock.mono();
    const updates = this.#updates;
    this.#staleAt = Infinity;
    try {
      const answer = await ask();
      if (this.#updates === updates || !this.#isOld(answer.view)) this.#learn(answer.view, sentAt);
      this.#updates += 1;
      return answer;
    } catch (error) {
      this.#view = undefined;
      this.#dueAt = Infinity;
      this.#staleAt = this.#clock.mono() + RETRY_MS;
      throw error;
    }
  }

  #replied(view: QueueView, sentAt: number): void {
    if (this.#isOld(view)) return;
    this.#updates += 1;
    this.#learn(view, sentAt);
  }

  /** By the reply's own clock, so that it does not matter how far the server's is from ours. */
  #learn(view: QueueView, sentAt: number): void {
    this.#view = view;
    this.#dueAt = view.due === undefined ? Infinity : sentAt + view.due - view.now;
  }

  #isOld(view: QueueView): boolean {
    return this.#view !== undefined && view.turn < this.#view.turn;
  }
}
