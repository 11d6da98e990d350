// The leases that the consumers of one group hold on this node. Redis decides which consumer holds a topic: it stores
// the unique token of the topic's lease. A lease ends here no later than in Redis. Otherwise two consumers could work
// on one topic, because Redis gives a topic to the next consumer as soon as the lease has ended there.
import type { Clock } from '../../../base/clock.ts';
import type { ConsumeOptions, LogRecord, NackOptions } from '../../broker.ts';
import { isBrokerError, isRetryable } from '../../errors.ts';
import { checkDelay } from '../../group/consume-options.ts';
import { checkReason, TOO_MANY_ATTEMPTS, type DeadLetters } from '../../dead-letters.ts';
import { Deadlines } from '../../group/deadlines.ts';
import { COST_MAX } from '../../group/fair-class.ts';
import { Lease } from '../../group/lease.ts';
import type { LeaseOwner } from '../../group/lease.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Taken } from './group-queue.ts';
import { RETRY_MS, type PartitionQueue } from './partition-queue.ts';

/** The longest pause before another try to set a record aside. It is RETRY_MS at first, and twice as long each time. */
const BURY_PAUSE_MS_MAX = 60_000;
/** The topics whose pause is remembered. The oldest is forgotten, and begins with RETRY_MS again. */
const FAULTS_MAX = 1024;

/** A topic that was leased in Redis. It gets its lease here when its record is known. */
export interface Held {
  readonly partition: PartitionQueue;
  readonly taken: Taken;
  readonly visibilityMs: number;
  /** Called when the topic is no longer held, for any reason. */
  readonly onFree: () => void;
  /** Called when the lease was extended to `visibilityMs` from now. */
  readonly onExtended: () => void;
  lease: Lease | undefined;
  settling: boolean;
  /** A consumer has received it. */
  isDelivered: boolean;
  /** Model tokens that were used so far; undefined until the first charge. */
  used: number | undefined;
}

interface SetAside {
  readonly attempts: number;
  readonly reason: string;
  /** Runs before the record is consumed. */
  readonly onDeadLetter?: ConsumeOptions['onDeadLetter'] | undefined;
}

export class HeldLeases implements LeaseOwner {
  readonly #clock: Clock;
  readonly #letters: DeadLetters;
  readonly #onError: (error: unknown) => void;
  /** At most one for each topic. */
  readonly #held = new Map<LiteTopicName, Held>();
  readonly #heldBy = new WeakMap<Lease, Held>();
  readonly #deadlines: Deadlines<Held>;
  /** Topics whose record could not be set aside → the pause after the next fault. */
  readonly #pauses = new Map<LiteTopicName, number>();

  /** `onError`: called with what no second try repairs. */
  constructor(clock: Clock, letters: DeadLetters, onError: (error: unknown) => void) {
    this.#clock = clock;
    this.#letters = letters;
    this.#onError = onError;
    this.#deadlines = new Deadlines(clock, (held) => this.lose(held));
  }

  /** `sentAt`: the monotonic time of the request, so that the lease ends here before it ends in Redis. */
  add(held: Held, sentAt: number): void {
    // An older lease of the topic: it has ended in Redis, or the topic could not have been taken.
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

  /** The topic has ended. With `token`, only a lease with this token is lost. */
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

  async nack(lease: Lease, delayMs: number, { count = true }: NackOptions = {}): Promise<boolean> {
    checkDelay(delayMs);
    return this.#settle(lease, ({ partition, taken }) => partition.nack(taken, delayMs, count));
  }

  /** Extends the lease first, so that it does not end in Redis before the record is consumed. */
  async reject(lease: Lease, reason: string): Promise<boolean> {
    checkReason(reason);
    return this.#settle(lease, (held) => this.#setAside(held, lease, { attempts: lease.attempt, reason }));
  }

  /** The record was delivered too often. If it cannot be set aside now, it is tried again later, after a fault later
   *  each time, because each fault is reported. Never rejects. */
  async bury(lease: Lease, onDeadLetter: ConsumeOptions['onDeadLetter']): Promise<void> {
    const held = this.#holding(lease);
    if (held === undefined) return;
    const attempts = lease.attempt - 1;
    try {
      await this.#settle(lease, () =>
        this.#setAside(held, lease, { attempts, reason: TOO_MANY_ATTEMPTS, onDeadLetter }),
      );
      this.#pauses.delete(lease.topic);
    } catch (error) {
      // The engine's health reports a retryable error.
      const isFault = !isRetryable(error) && !isBrokerError(error, 'closed');
      const delayMs = isFault ? this.#pauseAfterFault(lease.topic) : RETRY_MS;
      await held.partition.giveBack([held.taken], { delayMs, count: false });
      this.forget(held);
      if (isFault) this.#onError(error);
    }
  }

  #pauseAfterFault(topic: LiteTopicName): number {
    const pause = this.#pauses.get(topic) ?? RETRY_MS;
    this.#pauses.delete(topic);
    this.#pauses.set(topic, Math.min(BURY_PAUSE_MS_MAX, 2 * pause));
    const [oldest] = this.#pauses.keys();
    if (this.#pauses.size > FAULTS_MAX && oldest !== undefined) this.#pauses.delete(oldest);
    return pause;
  }

  /** False: the lease was lost. */
  async #setAside(
    { partition, taken, visibilityMs }: Held,
    lease: Lease,
    { attempts, reason, onDeadLetter }: SetAside,
  ): Promise<boolean> {
    if (!(await partition.extend(taken, visibilityMs))) return false;
    const letter = await this.#letters.setAside(lease, attempts, reason);
    await onDeadLetter?.(letter, lease.record);
    return (await partition.ack(taken, lease.record.offset + 1)) === 'done';
  }

  async extend(lease: Lease): Promise<boolean> {
    const held = this.#holding(lease);
    if (held === undefined) return false;
    const sentAt = this.#clock.mono();
    const isHeld = await held.partition.extend(held.taken, held.visibilityMs);
    if (this.#holding(lease) === undefined) {
      // The lease ran out here before the answer arrived. (If it was settled meanwhile, nothing is given back.)
      if (isHeld) await held.partition.giveBack([held.taken], { count: true });
      return false;
    }
    if (!isHeld) this.lose(held);
    if (!isHeld || !this.#holdUntil(held, sentAt + held.visibilityMs)) return false;
    held.onExtended();
    return true;
  }

  charge(lease: Lease, tokens: number): void {
    const held = this.#heldBy.get(lease);
    if (held !== undefined && this.isCurrent(held) && tokens >= 0) held.used = Math.min(COST_MAX, tokens);
  }

  /** Ends all leases on this node at once. Resolves when they have been given back in Redis. */
  async close(): Promise<void> {
    const given = new Map<PartitionQueue, Taken[]>();
    for (const held of [...this.#held.values()]) {
      given.set(held.partition, [...(given.get(held.partition) ?? []), held.taken]);
      this.lose(held);
    }
    this.#deadlines.clear();
    await Promise.all([...given].map(([partition, taken]) => partition.giveBack(taken, { count: true })));
  }

  /** Suspends the deadline while Redis decides: a lease that ran out here meanwhile would make the answer wrong. */
  async #settle(lease: Lease, decide: (held: Held) => Promise<boolean>): Promise<boolean> {
    const held = this.#holding(lease);
    if (held === undefined) return false;
    const deadline = this.#deadlines.get(held) ?? this.#clock.mono();
    held.settling = true;
    this.#deadlines.delete(held);
    try {
      const isSettled = await decide(held);
      // The topic may have been removed, or the broker closed, during the call.
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

  /** False: the deadline has passed, and the lease is lost. */
  #holdUntil(held: Held, deadline: number): boolean {
    const isInTime = deadline > this.#clock.mono();
    if (isInTime) this.#deadlines.set(held, deadline);
    else this.lose(held);
    return isInTime;
  }
}
