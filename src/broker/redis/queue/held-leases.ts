// The leases that one group's consumers hold on this node. Redis decides who holds a topic; a lease here is a token
// there, and ends here no later than there.
import type { Clock } from '../../../base/clock.ts';
import type { LogRecord } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import { Deadlines } from '../../group/deadlines.ts';
import { Lease } from '../../group/lease.ts';
import type { LeaseOwner } from '../../group/lease.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Taken } from './group-queue.ts';
import type { PartitionQueue } from './partition-queue.ts';

/** A topic that was taken. It is held from then on, and has a lease once its record has been read. */
export interface Held {
  readonly partition: PartitionQueue;
  readonly taken: Taken;
  readonly visibilityMs: number;
  /** It is held no more, whatever the reason. */
  readonly onFree: () => void;
  lease: Lease | undefined;
  settling: boolean;
}

export class HeldLeases implements LeaseOwner {
  readonly #clock: Clock;
  /** At most one a topic. */
  readonly #held = new Map<LiteTopicName, Held>();
  readonly #heldBy = new WeakMap<Lease, Held>();
  readonly #deadlines: Deadlines<Held>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#deadlines = new Deadlines(clock, (held) => this.lose(held));
  }

  /** `sentAt`: monotonic, when it was asked for, so that it ends here first. */
  add(held: Held, sentAt: number): void {
    // Of the same topic: it ended there, or this one would not be.
    const before = this.#held.get(held.taken.topic);
    if (before !== undefined) this.lose(before);
    this.#held.set(held.taken.topic, held);
    this.#holdUntil(held, sentAt + held.visibilityMs);
  }

  isCurrent(held: Held): boolean {
    return this.#held.get(held.taken.topic) === held;
  }

  lease(held: Held, record: LogRecord, attempt: number): Lease {
    const { topic, epoch, priority } = held.taken;
    const lease = new Lease(this, { topic, epoch, priority, record, attempt });
    held.lease = lease;
    this.#heldBy.set(lease, held);
    return lease;
  }

  /** The topic's life has ended; only the lease of this token, if one is named. */
  ended(topic: LiteTopicName, token?: string): void {
    const held = this.#held.get(topic);
    if (held !== undefined && (token === undefined || held.taken.token === token)) this.lose(held);
  }

  lose(held: Held): void {
    this.forget(held);
    held.lease?.lose();
  }

  forget(held: Held): void {
    if (!this.isCurrent(held)) return;
    this.#held.delete(held.taken.topic);
    this.#deadlines.delete(held);
    held.onFree();
  }

  ack(lease: Lease): Promise<boolean> {
    return this.#settle(
      lease,
      async ({ partition, taken }) => (await partition.ack(taken, lease.record.offset + 1)) === 'done',
    );
  }

  async nack(lease: Lease, delayMs: number): Promise<boolean> {
    if (!Number.isSafeInteger(delayMs) || delayMs < 0)
      throw new BrokerError('invalid-config', 'delayMs is a whole number from 0');
    return this.#settle(lease, ({ partition, taken }) => partition.nack(taken, delayMs));
  }

  async extend(lease: Lease): Promise<boolean> {
    const held = this.#holding(lease);
    if (held === undefined) return false;
    const sentAt = this.#clock.mono();
    const isHeld = await held.partition.extend(held.taken, held.visibilityMs);
    if (this.#holding(lease) === undefined) {
      // It ran out here while the answer was on its way. (If it was settled meanwhile, nothing is given back.)
      if (isHeld) await held.partition.giveBack([held.taken], { count: true });
      return false;
    }
    if (!isHeld) this.lose(held);
    return isHeld && this.#holdUntil(held, sentAt + held.visibilityMs);
  }

  /** Ends them all here, and gives them back when it resolves. */
  async close(): Promise<void> {
    const given = new Map<PartitionQueue, Taken[]>();
    for (const held of [...this.#held.values()]) {
      given.set(held.partition, [...(given.get(held.partition) ?? []), held.taken]);
      this.lose(held);
    }
    this.#deadlines.clear();
    await Promise.all([...given].map(([partition, taken]) => partition.giveBack(taken, { count: true })));
  }

  /** It must not run out here while Redis decides: the answer would be wrong. */
  async #settle(lease: Lease, decide: (held: Held) => Promise<boolean>): Promise<boolean> {
    const held = this.#holding(lease);
    if (held === undefined) return false;
    const deadline = this.#deadlines.get(held) ?? this.#clock.mono();
    held.settling = true;
    this.#deadlines.delete(held);
    try {
      const isSettled = await decide(held);
      // Unless the topic was removed or the broker closed while it was on its way.
      if (this.isCurrent(held)) this.#settled(held, isSettled);
      return isSettled;
    } catch (error) {
      if (this.isCurrent(held)) this.#holdUntil(held, deadline);
      throw error;
    } finally {
      held.settling = false;
    }
  }

  #settled(held: Held, isSettled: boolean): void {
    if (isSettled) this.forget(held);
    else this.lose(held);
  }

  #holding(lease: Lease): Held | undefined {
    const held = this.#heldBy.get(lease);
    return held !== undefined && this.isCurrent(held) && !held.settling ? held : undefined;
  }

  /** False where it is too late already. */
  #holdUntil(held: Held, deadline: number): boolean {
    const isInTime = deadline > this.#clock.mono();
    if (isInTime) this.#deadlines.set(held, deadline);
    else this.lose(held);
    return isInTime;
  }
}
