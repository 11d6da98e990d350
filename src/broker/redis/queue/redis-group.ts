// One group on this node: the consumers that request deliveries, and the partitions that have topics for them.
// Invariants:
//  - This node takes only from a partition that has queued topics according to its last view. Views come from replies
//    and published messages. Because a message may be lost, every partition is checked periodically while a consumer
//    has an open request.
//  - A delivery goes only to a consumer that has an open request and credit, so a consumer that stops requesting delays
//    no other consumer.
//  - Without an open request on this node, the group runs nothing and has no timer.
// The order between partitions is a node's own view: with several takes under way, topics of two partitions may be
// delivered in another order than they were queued, and each node counts on its own which class was passed over.
import type { Clock, Timer } from '../../../base/clock.ts';
import type { Broker, ConsumeOptions, LogRecord, Priority } from '../../broker.ts';
import { BrokerError, isRetryable } from '../../errors.ts';
import type { Lease } from '../../group/lease.ts';
import { PriorityOrder, ReadyList } from '../../group/ready-list.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { about, RECHECK_MS } from '../connection/jitter.ts';
import type { GroupQueue, Taken } from './group-queue.ts';
import { HeldLeases } from './held-leases.ts';
import type { Held } from './held-leases.ts';
import { PartitionQueue, RETRY_MS } from './partition-queue.ts';
import type { QueueView } from './queue-view.ts';

/** The most partitions that are checked or opened at the same time. */
const LOOKS_MAX = 16;

export interface Consumer {
  readonly options: ConsumeOptions;
  /** Deliveries taken or being taken, at most `credit`. */
  held: number;
  hasLeft: boolean;
  /** A take is under way for the consumer: each request is served once. */
  isServed: boolean;
  /** The one open request for a delivery. */
  asking:
    { readonly resolve: (lease: Lease | undefined) => void; readonly reject: (error: unknown) => void } | undefined;
}

interface Found {
  readonly record: LogRecord;
  readonly attempt: number;
}

export class RedisGroup {
  readonly #read: Broker['read'];
  readonly #clock: Clock;
  readonly #node: string;
  readonly #partitions: readonly PartitionQueue[];
  readonly #turns = new PriorityOrder();
  readonly #consumers = new Set<Consumer>();
  readonly #asking = new ReadyList<Consumer>();
  readonly #leases: HeldLeases;
  /** The checks and takes under way; each take belongs to one consumer. */
  readonly #running = new Set<Promise<void>>();
  #tokens = 0;
  #looks = 0;
  #recheckAt: number;
  #timer: { readonly at: number; readonly timer: Timer } | undefined;
  #closed = false;

  /** `node`: the unique id of this process run. */
  constructor(
    queue: GroupQueue,
    read: Broker['read'],
    { clock, node, partitions }: { readonly clock: Clock; readonly node: string; readonly partitions: number },
  ) {
    this.#read = read;
    this.#clock = clock;
    this.#node = node;
    this.#partitions = Array.from(
      { length: partitions },
      (_, partition) => new PartitionQueue(queue, partition, clock),
    );
    this.#leases = new HeldLeases(clock);
    this.#recheckAt = clock.mono() + about(RECHECK_MS);
  }

  /** Opens the group in every partition. If two nodes open it with different patterns, the first partition decides
   *  which pattern counts. @throws BrokerError */
  async open(): Promise<void> {
    const [first, ...others] = this.#partitions;
    await first?.open();
    const left = others.values();
    const opening = Array.from({ length: LOOKS_MAX }, async () => {
      for (const partition of left) await partition.open();
    });
    await Promise.all(opening);
  }

  /** Resolves with the next delivery when there is one and the consumer has credit, or undefined when it has left. */
  next(consumer: Consumer): Promise<Lease | undefined> {
    if (consumer.hasLeft || this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      consumer.asking = { resolve, reject };
      this.#offer(consumer);
    });
  }

  join(options: ConsumeOptions): Consumer {
    const consumer: Consumer = { options, held: 0, hasLeft: false, isServed: false, asking: undefined };
    this.#consumers.add(consumer);
    return consumer;
  }

  leave(consumer: Consumer): void {
    consumer.hasLeft = true;
    this.#consumers.delete(consumer);
    this.#asking.delete(consumer);
    this.#answer(consumer, undefined);
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

  ended(topic: LiteTopicName, token?: string): void {
    this.#leases.ended(topic, token);
  }

  /** Ends the consumers and their leases on this node at once. Resolves when the leases have ended in Redis, where
   *  Redis is available; otherwise they run out. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const consumer of this.#consumers) this.leave(consumer);
    this.#arm();
    // Each take that is under way gives back its own topic.
    await Promise.all([this.#leases.close(), ...this.#running]);
  }

  #offer(consumer: Consumer): void {
    if (consumer.asking === undefined || consumer.isServed || consumer.held >= consumer.options.credit) return;
    this.#asking.add(consumer);
    this.#serve();
  }

  #answer(consumer: Consumer, lease: Lease | undefined): void {
    const { asking } = consumer;
    consumer.asking = undefined;
    asking?.resolve(lease);
  }

  /** Keeps the request open after a retryable error: another partition may have a topic, and the engine's health
   *  reports the error. */
  #refuse(consumer: Consumer, error: unknown): void {
    if (isRetryable(error)) return;
    const { asking } = consumer;
    consumer.asking = undefined;
    asking?.reject(error);
  }

  /** Starts a take for each open request, as long as a partition has a queued topic. */
  #serve(): void {
    while (this.#asking.size > 0 && !this.#closed) {
      this.#lookAround();
      const priority = this.#turns.next((one) => this.#first(one) !== undefined);
      const partition = priority && this.#first(priority);
      const consumer = partition && this.#asking.take();
      if (priority === undefined || partition === undefined || consumer === undefined) break;
      this.#start(this.#serveFrom(partition, priority, consumer));
    }
    this.#arm();
  }

  /** Of the partitions without a take under way: the one whose first topic in this class has waited longest. */
  #first(priority: Priority): PartitionQueue | undefined {
    let first: PartitionQueue | undefined;
    for (const partition of this.#partitions) {
      if (!partition.isTakenFrom && (partition.head(priority) ?? Infinity) < (first?.head(priority) ?? Infinity))
        first = partition;
    }
    return first;
  }

  #lookAround(): void {
    const now = this.#clock.mono();
    if (now >= this.#recheckAt) {
      this.#recheckAt = now + about(RECHECK_MS);
      for (const partition of this.#partitions) partition.recheck();
    }
    for (const partition of this.#partitions) {
      if (this.#looks >= LOOKS_MAX) return;
      if (!partition.isLookedAt && partition.lookAt <= now) this.#start(this.#look(partition));
    }
  }

  /** Sets the timer for the next check while a consumer has an open request. A partition that is due already is checked
   *  when a running check ends. */
  #arm(): void {
    const now = this.#clock.mono();
    let at = this.#recheckAt;
    for (const { lookAt } of this.#partitions) if (lookAt > now && lookAt < at) at = lookAt;
    const isIdle = this.#closed || this.#asking.size === 0;
    if (!isIdle && this.#timer?.at === at) return;
    this.#timer?.timer.cancel();
    this.#timer = isIdle ? undefined : { at, timer: this.#clock.after(at - now, () => this.#due()) };
  }

  #due(): void {
    this.#timer = undefined;
    this.#serve();
  }

  #start(work: Promise<void>): void {
    const running = work.finally(() => {
      this.#running.delete(running);
      this.#serve();
    });
    this.#running.add(running);
  }

  async #look(partition: PartitionQueue): Promise<void> {
    this.#looks += 1;
    try {
      await partition.look();
    } catch (error) {
      const consumer = this.#asking.take();
      if (consumer === undefined) return;
      this.#refuse(consumer, error);
      this.#offer(consumer);
    } finally {
      this.#looks -= 1;
    }
  }

  async #serveFrom(partition: PartitionQueue, priority: Priority, consumer: Consumer): Promise<void> {
    const { visibilityMs } = consumer.options;
    const token = `${this.#node}.${(this.#tokens += 1).toString(36)}`;
    const sentAt = this.#clock.mono();
    const onFree = (): void => {
      consumer.held -= 1;
      this.#offer(consumer);
    };
    consumer.held += 1;
    consumer.isServed = true;
    const taken = await this.#take(partition, priority, consumer, token);
    if (taken === undefined) onFree();
    else
      await this.#deliver(
        { partition, taken, visibilityMs, onFree, lease: undefined, settling: false },
        sentAt,
        consumer,
      );
    consumer.isServed = false;
    this.#offer(consumer);
  }

  async #take(
    partition: PartitionQueue,
    priority: Priority,
    consumer: Consumer,
    token: string,
  ): Promise<Taken | undefined> {
    try {
      return await partition.take(priority, token, consumer.options.visibilityMs);
    } catch (error) {
      // If a topic was taken and only the answer was lost, it is delivered again when that lease runs out.
      this.#refuse(consumer, error);
      return undefined;
    }
  }

  async #deliver(held: Held, sentAt: number, consumer: Consumer): Promise<void> {
    const { partition, taken } = held;
    if (this.#closed) {
      await partition.giveBack([taken], { count: false });
      return;
    }
    this.#leases.add(held, sentAt);
    this.#serve();
    const found = await this.#find(held, consumer);
    // The lease was lost or given back meanwhile, by its deadline, the end of its topic, or close.
    if (!this.#leases.isCurrent(held)) return;
    if (found !== undefined && !consumer.hasLeft) {
      this.#answer(consumer, this.#leases.lease(held, found.record, found.attempt));
      return;
    }
    if (found !== undefined) await partition.giveBack([taken], { count: false });
    this.#leases.forget(held);
  }

  /** Undefined: the topic is no longer held in Redis. */
  async #find(held: Held, consumer: Consumer): Promise<Found | undefined> {
    try {
      return await this.#nextRecord(held);
    } catch (error) {
      this.#refuse(consumer, error);
      if (this.#leases.isCurrent(held))
        await held.partition.giveBack([held.taken], { delayMs: RETRY_MS, count: false });
      return undefined;
    }
  }

  /** Skips holes. If no record follows a hole, the hole is marked as consumed, because no consumer could acknowledge
   *  it. */
  async #nextRecord({ partition, taken }: Held): Promise<Found | undefined> {
    const { topic, epoch } = taken;
    let { offset } = taken;
    let record: LogRecord | undefined;
    for (let isEnd = false; !isEnd && record === undefined;) {
      const result = await this.#read(topic, { epoch, offset }, { maxRecords: 1 });
      if (result.kind === 'reset' && result.reason === 'undeclared-hole') throw missing(offset);
      if (result.kind !== 'batch') {
        // The topic's history changed during the lease. If it still exists, it is delivered later, in its new epoch.
        await partition.giveBack([taken], { delayMs: RETRY_MS, count: false });
        return undefined;
      }
      const [item] = result.items;
      if (item?.kind === 'record') record = item;
      else offset = result.next;
      isEnd = item === undefined;
    }
    if (offset === taken.offset) {
      if (record === undefined) throw missing(offset);
      return { record, attempt: taken.attempt };
    }
    const outcome = await partition.ack(taken, offset, true);
    return outcome === 'kept' && record !== undefined ? { record, attempt: 1 } : undefined;
  }
}

function missing(offset: number): BrokerError {
  return new BrokerError('corrupt', `the record at ${offset} is neither there nor declared a hole`);
}
