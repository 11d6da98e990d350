// One group on this node: the consumers that request deliveries, and the rounds that get them. A round drains the
// partitions where something changed into the group's schedule, picks as many topics as consumers want, and leases them
// in their partitions. Invariants:
//  - One round at a time. While a consumer wants deliveries, a round starts when a message says that something may be
//    ready, when a deadline in a partition or in the schedule has passed, and periodically: a message may be lost.
//  - Without an open request on this node, the group runs nothing but what it reports to the schedule.
import type { Clock, Timer } from '../../../base/clock.ts';
import type { ConsumeOptions } from '../../broker.ts';
import { isBrokerError } from '../../errors.ts';
import { DeadLetters, type LetterBroker } from '../../dead-letters.ts';
import type { Lease } from '../../group/lease.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { about, RECHECK_MS } from '../connection/jitter.ts';
import type { RedisKeys } from '../keys.ts';
import type { GroupQueue, Taken } from './group-queue.ts';
import { GroupConsumers, type Consumer } from './group-consumers.ts';
import type { Batch, Entry, GroupSchedule, Picked } from '../schedule/group-schedule.ts';
import { HeldLeases, type Held } from './held-leases.ts';
import { readLeased } from './leased-record.ts';
import type { Found } from './leased-record.ts';
import { openAll, PartitionQueue, RETRY_MS } from './partition-queue.ts';
import { patience } from './patience.ts';
import type { QueueView } from './queue-view.ts';

/** The most partitions that are drained or opened at the same time. */
const CALLS_MAX = 64;
/** A round does not wait longer for a partition: the topics of other partitions are delivered meanwhile. */
export const SLOW_MS = 1000;

/** A topic that was picked for a consumer. */
interface Seat extends Picked {
  readonly consumer: Consumer;
  readonly token: string;
}

export interface GroupParts {
  readonly queue: GroupQueue;
  readonly schedule: GroupSchedule;
  readonly broker: LetterBroker;
  readonly clock: Clock;
  readonly keys: RedisKeys;
  /** The unique id of this process run. */
  readonly node: string;
  readonly onError: (error: unknown) => void;
}

export class RedisGroup {
  readonly #schedule: GroupSchedule;
  readonly #broker: LetterBroker;
  readonly #clock: Clock;
  readonly #keys: RedisKeys;
  readonly #node: string;
  readonly #partitions: readonly PartitionQueue[];
  readonly #consumers: GroupConsumers;
  readonly #leases: HeldLeases;
  /** The calls under way. */
  readonly #running = new Set<Promise<void>>();
  #tokens = 0;
  #isInRound = false;
  #isReporting = false;
  /** The next round must not start before this time, because a call has failed. */
  #retryAt = -Infinity;
  /** The last round picked as many topics as it wanted, so more may wait. */
  #mayHaveMore = true;
  #recheckAt: number;
  #isRecheck = true;
  #timer: { readonly at: number; readonly timer: Timer } | undefined;
  #closed = false;

  constructor({ queue, schedule, broker, clock, keys, node, onError }: GroupParts) {
    this.#schedule = schedule;
    this.#broker = broker;
    this.#clock = clock;
    this.#keys = keys;
    this.#node = node;
    this.#partitions = Array.from({ length: keys.partitions }, (_, n) => new PartitionQueue(queue, n, clock));
    this.#leases = new HeldLeases(clock, new DeadLetters(broker, queue.name, () => clock.now()), onError);
    this.#consumers = new GroupConsumers({
      clock,
      leases: this.#leases,
      giveBack: (held) => this.#giveBack(held),
      onWanted: () => this.#serve(),
    });
    this.#recheckAt = clock.mono() + about(RECHECK_MS);
  }

  /** Opens the group in every partition. @throws BrokerError */
  async open(): Promise<void> {
    await openAll(this.#partitions, CALLS_MAX);
  }

  /** Resolves with the next delivery when there is one and the consumer has credit, or undefined when it has left. */
  next(consumer: Consumer): Promise<Lease | undefined> {
    return this.#consumers.next(consumer);
  }

  join(options: ConsumeOptions): Consumer {
    return this.#consumers.join(options);
  }

  leave(consumer: Consumer): void {
    this.#consumers.leave(consumer);
    this.#arm();
  }

  notified(partition: number, view: QueueView): void {
    this.#partitions[partition]?.notified(view);
    this.#serve();
  }

  /** Messages of this partition may have been missed. */
  missed(partition: number): void {
    this.#partitions[partition]?.recheck();
    this.#serve();
  }

  /** A limit may allow more in that time. */
  opens(ms: number): void {
    this.#schedule.due(ms);
    this.#serve();
  }

  ended(topic: LiteTopicName, token?: string): void {
    this.#leases.ended(topic, token);
  }

  /** Ends the consumers and their leases on this node at once. Resolves when the leases have ended in Redis, where
   *  Redis is available; otherwise they run out. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#consumers.leaveAll();
    this.#arm();
    await this.#leases.close();
    // A round gives back what it has leased meanwhile.
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#report();
  }

  /** Nothing was delivered, so no attempt is counted. */
  #giveBack(held: Held): void {
    this.#leases.forget(held);
    void this.#start(held.partition.giveBack([held.taken], { count: false }));
  }

  /** Starts a round if a consumer wants a delivery and something may wait. */
  #serve(): void {
    if (this.#closed || this.#isInRound) return;
    const now = this.#clock.mono();
    if (now >= this.#recheckAt) {
      this.#recheckAt = now + about(RECHECK_MS);
      this.#isRecheck = true;
      for (const partition of this.#partitions) partition.recheck();
    }
    if (
      (this.#mayHaveMore || this.#isRecheck || this.#dueAt() <= now) &&
      now >= this.#retryAt &&
      this.#consumers.isWanting
    ) {
      this.#isInRound = true;
      void this.#start(this.#round().finally(() => (this.#isInRound = false)));
    }
    this.#arm();
  }

  /** Monotonic: when the next round may find something. */
  #dueAt(): number {
    let at = this.#schedule.dueAt;
    for (const { drainAt } of this.#partitions) if (drainAt < at) at = drainAt;
    return at;
  }

  /** Sets the timer for what must be done next. While a round runs, its end does it. */
  #arm(): void {
    const isWanted = !this.#closed && !this.#isInRound && this.#consumers.isWanting;
    let at = isWanted ? Math.max(this.#retryAt, Math.min(this.#recheckAt, this.#dueAt())) : Infinity;
    if (!this.#closed) at = Math.min(at, this.#schedule.reportAt, this.#consumers.readyUntil);
    if (this.#timer?.at === at) return;
    this.#timer?.timer.cancel();
    this.#timer =
      at === Infinity ? undefined : { at, timer: this.#clock.after(at - this.#clock.mono(), () => this.#due()) };
  }

  #due(): void {
    this.#timer = undefined;
    this.#consumers.giveBackUnclaimed();
    if (this.#schedule.reportAt <= this.#clock.mono()) void this.#start(this.#report());
    this.#serve();
  }

  /** The work must not fail with an error of the broker. */
  #start(work: Promise<void>): Promise<void> {
    const running = work.finally(() => {
      this.#running.delete(running);
      this.#serve();
    });
    this.#running.add(running);
    return running;
  }

  /** A topic is no longer held. A round reports it; without a round soon, this node reports it by itself. */
  #settle(ticket: string, how: 'served' | 'unused', used?: number): void {
    this.#schedule.settle(ticket, how, used);
    if (this.#isReporting || this.#closed) return;
    this.#isReporting = true;
    // The consumer may request its next delivery in this turn of the event loop.
    setImmediate(() => {
      this.#isReporting = false;
      if (!this.#isInRound && !this.#closed && this.#schedule.hasSettled) void this.#start(this.#report());
    });
  }

  async #report(): Promise<void> {
    try {
      await this.#schedule.report();
    } catch (error) {
      // The next step reports it. If there is none, the tickets run out, which has the same effect later.
      if (!isBrokerError(error)) throw error;
    }
  }

  async #round(): Promise<void> {
    try {
      if (this.#isRecheck) await this.#learnCursors();
      const batches = await this.#drain();
      const consumers = this.#consumers.wanting();
      const leaseMs = consumers.reduce((ms, { options }) => Math.max(ms, options.visibilityMs), 0);
      const { picked, entries } = await this.#schedule.step(consumers.length, batches, { leaseMs });
      this.#mayHaveMore = picked.length === consumers.length;
      for (const [i, entry] of entries.entries()) this.#entered(batches[i], entry);
      const seats = picked.flatMap((one, i) => {
        const consumer = consumers[i];
        return consumer === undefined
          ? []
          : { ...one, consumer, token: `${this.#node}.${(this.#tokens += 1).toString(36)}` };
      });
      // The next round need not wait for the leases of this one.
      if (seats.length > 0) void this.#start(this.#lease(seats));
    } catch (error) {
      this.#retryAt = this.#clock.mono() + RETRY_MS;
      this.#mayHaveMore = true;
      this.#consumers.refuseFirst(error);
    }
  }

  /** Another node may have entered more, or the schedule was lost. */
  async #learnCursors(): Promise<void> {
    const cursors = await this.#schedule.check();
    this.#isRecheck = false;
    for (const partition of this.#partitions) partition.cursor = cursors.get(partition.number) ?? '';
  }

  /** Returns what came to wait in the partitions that are due. */
  async #drain(): Promise<readonly Batch[]> {
    const now = this.#clock.mono();
    const due = this.#partitions.filter(({ drainAt }) => drainAt <= now).slice(0, CALLS_MAX);
    const batches: Batch[] = [];
    let isLate = false;
    await this.#patient(
      due.map(async (partition) => {
        try {
          const drained = await partition.drain();
          // The round did not wait for this answer, so another one must ask again.
          if (isLate) partition.recheck();
          else if (drained.to !== drained.from) batches.push({ partition: partition.number, drained });
        } catch (error) {
          // Other partitions may have topics. This one is due again after a while.
          this.#consumers.refuseFirst(error);
        }
      }),
    );
    isLate = true;
    return batches;
  }

  #entered(batch: Batch | undefined, { cursor, isRefused }: Entry): void {
    const partition = batch && this.#partitions[batch.partition];
    if (partition === undefined) return;
    partition.cursor = cursor;
    if (isRefused) partition.recheck();
  }

  /** Leases what was picked, and delivers it in the order in which it was picked. */
  async #lease(seats: readonly Seat[]): Promise<void> {
    const byPartition = new Map<number, Seat[]>();
    for (const seat of seats) {
      seat.consumer.held += 1;
      seat.consumer.coming += 1;
      const partition = this.#keys.partitionOf(seat.topic);
      const there = byPartition.get(partition);
      if (there === undefined) byPartition.set(partition, [seat]);
      else there.push(seat);
    }
    const found = new Map<Seat, Held>();
    let isLate = false;
    await this.#patient(
      [...byPartition].map(async ([partition, there]) => {
        for (const [seat, held] of await this.#leaseIn(this.#partitions[partition], there)) {
          if (isLate) this.#deliver(seat.consumer, held);
          else found.set(seat, held);
        }
      }),
    );
    isLate = true;
    for (const seat of seats) {
      const held = found.get(seat);
      if (held !== undefined) this.#deliver(seat.consumer, held);
    }
  }

  async #leaseIn(partition: PartitionQueue | undefined, seats: readonly Seat[]): Promise<[Seat, Held][]> {
    if (partition === undefined) return [];
    const sentAt = this.#clock.mono();
    let taken: readonly (Taken | undefined)[];
    try {
      taken = await partition.lease(
        seats.map(({ topic, token, consumer }) => ({ topic, token, visibilityMs: consumer.options.visibilityMs })),
      );
    } catch (error) {
      // If topics were leased and only the answer was lost, they are delivered again when those leases run out. The
      // tickets run out too.
      for (const { consumer } of seats) {
        consumer.coming -= 1;
        this.#consumers.refuse(consumer, error);
        this.#consumers.freed(consumer);
      }
      return [];
    }
    const leased: [Seat, Held][] = [];
    for (const [i, seat] of seats.entries()) {
      const one = taken[i];
      if (one !== undefined) leased.push([seat, this.#hold(partition, seat, one, sentAt)]);
      else {
        seat.consumer.coming -= 1;
        this.#free(seat, 'unused');
      }
    }
    return leased;
  }

  #free({ consumer, ticket }: Seat, how: 'served' | 'unused', used?: number): void {
    this.#settle(ticket, how, used);
    this.#consumers.freed(consumer);
  }

  #hold(partition: PartitionQueue, seat: Seat, taken: Taken, sentAt: number): Held {
    const { visibilityMs } = seat.consumer.options;
    const held: Held = {
      partition,
      taken,
      visibilityMs,
      onFree: () => this.#free(seat, held.isDelivered ? 'served' : 'unused', held.used),
      onExtended: () => {
        this.#schedule.leased(seat.ticket, visibilityMs, held.used);
        this.#arm();
      },
      lease: undefined,
      settling: false,
      isDelivered: false,
      used: undefined,
    };
    this.#schedule.leased(seat.ticket, visibilityMs);
    this.#leases.add(held, sentAt);
    return held;
  }

  #deliver(consumer: Consumer, held: Held): void {
    const { record, attempt } = held.taken;
    if (record === undefined) void this.#start(this.#find(consumer, held));
    else this.#found(consumer, held, { record, attempt });
  }

  async #find(consumer: Consumer, held: Held): Promise<void> {
    try {
      this.#found(consumer, held, await readLeased(this.#broker, held.partition, held.taken));
    } catch (error) {
      consumer.coming -= 1;
      this.#consumers.refuse(consumer, error);
      if (!this.#leases.isCurrent(held)) return;
      await held.partition.giveBack([held.taken], { delayMs: RETRY_MS, count: false });
      this.#leases.forget(held);
    }
  }

  #found(consumer: Consumer, held: Held, found: Found | undefined): void {
    // Not sooner: until the consumer has the delivery, another round would pick one more for the same request.
    consumer.coming -= 1;
    // The lease was lost or given back meanwhile, by its deadline, the end of its topic, or close.
    if (!this.#leases.isCurrent(held)) return;
    if (found === undefined) this.#leases.forget(held);
    else if (this.#closed) this.#giveBack(held);
    else this.#consumers.ready(consumer, held, this.#leases.lease(held, found.record, found.attempt));
  }

  /** Waits for calls that do not fail, but not longer than SLOW_MS for all. */
  async #patient(calls: readonly Promise<void>[]): Promise<void> {
    await patience(this.#clock, SLOW_MS, Promise.all(calls.map((call) => this.#start(call))));
  }
}
