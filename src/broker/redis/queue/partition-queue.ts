// The state of one group's queue in one partition, as this node last received it. It takes topics to deliver, one take
// at a time, and updates the state from every reply and every published message. The partition is due for a check when
// a lease or a pause in it ends, or when a message may have been missed.
import type { Clock } from '../../../base/clock.ts';
import type { Priority } from '../../broker.ts';
import { isBrokerError } from '../../errors.ts';
import type { GroupQueue, Taken } from './group-queue.ts';
import type { QueueView } from './queue-view.ts';

/** The pause before another call to an unavailable partition, and before another delivery of an unreadable record. */
export const RETRY_MS = 1000;

export class PartitionQueue {
  readonly #queue: GroupQueue;
  readonly #partition: number;
  readonly #clock: Clock;
  #view: QueueView | undefined;
  /** The monotonic time of `#view.due`. */
  #dueAt = Infinity;
  /** The monotonic time of the next check, independent of the view. */
  #staleAt = -Infinity;
  #isLookedAt = false;
  #isTakenFrom = false;
  /** Counts the views received, from replies and messages. */
  #updates = 0;

  constructor(queue: GroupQueue, partition: number, clock: Clock) {
    this.#queue = queue;
    this.#partition = partition;
    this.#clock = clock;
  }

  get isLookedAt(): boolean {
    return this.#isLookedAt;
  }

  /** A take is under way, so what waits in the partition is unknown. */
  get isTakenFrom(): boolean {
    return this.#isTakenFrom;
  }

  /** Monotonic. */
  get lookAt(): number {
    return Math.min(this.#dueAt, this.#staleAt);
  }

  /** The turn of the first topic that waits in this priority. */
  head(priority: Priority): number | undefined {
    return this.#view?.heads[priority];
  }

  /** This method and the ones below throw what the methods of GroupQueue throw. */
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

  /** Gives back topics that no consumer here holds, if Redis is available. `count`: whether they were delivered. */
  async giveBack(
    taken: readonly Taken[],
    { delayMs = 0, count }: { readonly delayMs?: number; readonly count: boolean },
  ): Promise<void> {
    try {
      await this.#nack(taken, delayMs, count);
    } catch (error) {
      // The leases then run out, which has the same effect later.
      if (!isBrokerError(error)) throw error;
    }
  }

  /** A view was published, by this node or another. The deadline is computed from the age of the view by the server's
   *  clock. If the result is too early, the check at that time corrects it. */
  notified(view: QueueView): void {
    if (this.#isOld(view) || view.turn === this.#view?.turn) return;
    const isSameDue = this.#view?.due === view.due;
    this.#updates += 1;
    this.#view = view;
    if (isSameDue) return;
    const age = Math.max(0, this.#clock.now() - view.now);
    this.#dueAt = view.due === undefined ? Infinity : this.#clock.mono() - age + view.due - view.now;
  }

  /** Makes the partition due for a check, because a message may have been missed. */
  recheck(): void {
    this.#staleAt = Math.min(this.#staleAt, this.#clock.mono());
  }

  async #nack(taken: readonly Taken[], delayMs: number, count: boolean): Promise<number> {
    const sentAt = this.#clock.mono();
    const { held, view } = await this.#queue.nack(this.#partition, taken, { delayMs, count });
    this.#replied(view, sentAt);
    return held;
  }

  /** If no view was received meanwhile, the reply counts even if its turn is older, because another server may have
   *  taken over. */
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

  /** Computes the deadline from the two times of the reply, so that the difference between the server's clock and this
   *  node's does not matter. */
  #learn(view: QueueView, sentAt: number): void {
    this.#view = view;
    this.#dueAt = view.due === undefined ? Infinity : sentAt + view.due - view.now;
  }

  #isOld(view: QueueView): boolean {
    return this.#view !== undefined && view.turn < this.#view.turn;
  }
}
