// One group's queue in one partition, as this node works with it: when the partition must be drained into the group's
// schedule, and the steps of leases. The partition is due for a drain when a message says that something changed there,
// when a lease or a pause in it ends, and when a message may have been missed. A drain too many changes nothing.
import type { Clock } from '../../../base/clock.ts';
import { isBrokerError } from '../../errors.ts';
import type { Drained } from '../schedule/group-schedule.ts';
import type { GroupQueue, Taken, Wanted } from './group-queue.ts';
import type { QueueView } from './queue-view.ts';

/** The pause before another call to an unavailable partition, and before another delivery of an unreadable record. */
export const RETRY_MS = 1000;

export class PartitionQueue {
  readonly number: number;
  readonly #queue: GroupQueue;
  readonly #clock: Clock;
  /** Up to where the partition has been entered into the schedule, as this node saw it last. */
  cursor = '';
  #drainAt = -Infinity;
  #isBusy = false;

  constructor(queue: GroupQueue, partition: number, clock: Clock) {
    this.number = partition;
    this.#queue = queue;
    this.#clock = clock;
  }

  /** Monotonic; Infinity while a drain is under way. */
  get drainAt(): number {
    return this.#isBusy ? Infinity : this.#drainAt;
  }

  /** This method and the ones below throw what the methods of GroupQueue throw. */
  open(): Promise<void> {
    return this.#queue.open(this.number);
  }

  async drain(): Promise<Drained> {
    this.#isBusy = true;
    // What is noted during the call counts after it.
    this.#drainAt = Infinity;
    const sentAt = this.#clock.mono();
    try {
      const drained = await this.#queue.drain(this.number, this.cursor);
      if (drained.more) this.recheck();
      this.#due(drained.dueIn, sentAt);
      return drained;
    } catch (error) {
      this.#drainAt = this.#clock.mono() + RETRY_MS;
      throw error;
    } finally {
      this.#isBusy = false;
    }
  }

  async lease(wanted: readonly Wanted[]): Promise<readonly (Taken | undefined)[]> {
    const sentAt = this.#clock.mono();
    const { taken, dueIn } = await this.#queue.lease(this.number, wanted);
    this.#due(dueIn, sentAt);
    return taken;
  }

  async ack(taken: Taken, next: number, keep = false): Promise<'done' | 'kept' | 'lost'> {
    const { outcome, isWaiting } = await this.#queue.ack(this.number, taken, next, keep);
    if (isWaiting) this.recheck();
    return outcome;
  }

  /** False: the lease was lost. */
  async nack(taken: Taken, delayMs: number, count: boolean): Promise<boolean> {
    return (await this.#nack([taken], delayMs, count)) > 0;
  }

  extend(taken: Taken, visibilityMs: number): Promise<boolean> {
    return this.#queue.extend(this.number, taken, visibilityMs);
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
   *  clock. If the result is too early, the drain at that time corrects it. */
  notified({ heads, due, now }: QueueView): void {
    if (heads.high !== undefined || heads.normal !== undefined || heads.low !== undefined) this.recheck();
    if (due === undefined) return;
    const age = Math.max(0, this.#clock.now() - now);
    this.#due(due - now - age, this.#clock.mono());
  }

  /** Makes the partition due for a drain. */
  recheck(): void {
    this.#drainAt = Math.min(this.#drainAt, this.#clock.mono());
  }

  async #nack(taken: readonly Taken[], delayMs: number, count: boolean): Promise<number> {
    const sentAt = this.#clock.mono();
    const { held, dueIn } = await this.#queue.nack(this.number, taken, { delayMs, count });
    if (held > 0 && delayMs === 0) this.recheck();
    this.#due(dueIn, sentAt);
    return held;
  }

  /** The time between the request and its reply counts, so the clocks of the server and of this node may differ. */
  #due(dueIn: number | undefined, sentAt: number): void {
    if (dueIn !== undefined) this.#drainAt = Math.min(this.#drainAt, sentAt + dueIn);
  }
}

/** Opens a group in its partitions, at most `max` at the same time. If two nodes open it with different patterns, the
 *  first partition decides which pattern counts. @throws BrokerError */
export async function openAll([first, ...others]: readonly PartitionQueue[], max: number): Promise<void> {
  await first?.open();
  const left = others.values();
  const opening = Array.from({ length: max }, async () => {
    for (const partition of left) await partition.open();
  });
  await Promise.all(opening);
}
