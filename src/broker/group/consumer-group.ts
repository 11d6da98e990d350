// One consumer group: which topics are ready, which consumers wait for a delivery, and which consumer holds which
// lease. The order among ready topics is in schedule.ts. Invariants:
//  - A topic is at most one of: ready, delayed, taken. So at most one of its records is in flight.
//  - The group drops a lane (a topic as this group sees it) only after it has checked for new records in the same
//    turn of the event loop. So no wake-up is lost, and a consumed topic takes no memory.
//  - A delivery goes only to a consumer that waits and has credit. A consumer that stops asking delays no other.
import type { Clock } from '../../base/clock.ts';
import { DELAY_MS_MAX } from '../broker.ts';
import type { ConsumeOptions, FlowOf, LogRecord, NackOptions, Priority, WaitingCounts } from '../broker.ts';
import { BrokerError, isRetryable } from '../errors.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import { checkDelay, creditOf } from './consume-options.ts';
import { ATTEMPTS_MAX, checkReason, DeadLetters, TOO_MANY_ATTEMPTS, type LetterBroker } from '../dead-letters.ts';
import { Deadlines } from './deadlines.ts';
import type { FlowGates } from './flow-gates.ts';
import { Lease } from './lease.ts';
import type { LeaseOwner } from './lease.ts';
import type { DeliveryCount, QueueStore } from './queue-store.ts';
import { ReadyList } from './ready-list.ts';
import { Schedule } from './schedule.ts';
import type { QueuePlace } from '../flow-policy.ts';

/** How long a topic waits after its record could not be read, so that it does not keep other topics from being
 *  served. */
const READ_RETRY_MS = 1000;

const NEVER_DELIVERED: DeliveryCount = { offset: -1, attempts: 0, delayMs: 0 };

interface Lane {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  phase: 'ready' | 'delayed' | 'taken';
  cursor: number;
  attempts: { readonly offset: number; readonly count: number };
  lease: Lease | undefined;
  holder: Consumer | undefined;
  settling: boolean;
}

export interface Consumer {
  readonly options: ConsumeOptions;
  /** Lanes that the consumer has taken and not settled; at most `credit`. */
  held: number;
  /** Receives the next lane; undefined while the consumer waits for none. */
  answer: ((lane: Lane | undefined) => void) | undefined;
}

export interface GroupOptions {
  readonly clock: Clock;
  readonly flowOf: FlowOf;
  readonly gates: FlowGates;
  /** The engine, for dead letters. */
  readonly broker: LetterBroker;
}

export class ConsumerGroup implements LeaseOwner {
  readonly name: string;
  readonly pattern: TopicPattern;
  readonly #store: QueueStore;
  readonly #clock: Clock;
  readonly #lanes = new Map<LiteTopicName, Lane>();
  readonly #laneOf = new WeakMap<Lease, Lane>();
  readonly #flowOf: FlowOf;
  readonly #letters: DeadLetters;
  /** The lanes that are ready or taken. */
  readonly #schedule: Schedule<Lane>;
  readonly #waiting = new ReadyList<Consumer>();
  readonly #deadlines: Deadlines<Lane>;
  #servesSoon = false;

  constructor(name: string, pattern: TopicPattern, store: QueueStore, { clock, flowOf, gates, broker }: GroupOptions) {
    this.name = name;
    this.pattern = pattern;
    this.#store = store;
    this.#clock = clock;
    this.#flowOf = flowOf;
    this.#letters = new DeadLetters(broker, name, () => clock.now());
    this.#schedule = new Schedule<Lane>({ limits: gates.limitsOf(name), onReady: () => this.#serveSoon() });
    this.#deadlines = new Deadlines(clock, (lane) => this.#due(lane));
  }

  /** Notes that the topic may have something to deliver. Cheap to repeat. */
  mark(topic: LiteTopicName): void {
    const head = this.#store.head(topic);
    let lane = this.#lanes.get(topic);
    if (lane !== undefined && lane.epoch !== head?.epoch) {
      this.drop(topic);
      lane = undefined;
    }
    if (head === undefined) return;
    lane ??= this.#newLane(topic, head.epoch);
    if (lane.phase === 'ready') this.#makeReady(lane);
  }

  /** Drops a topic that has ended, and ends its leases. */
  drop(topic: LiteTopicName): void {
    const lane = this.#lanes.get(topic);
    if (lane === undefined) return;
    this.#lanes.delete(topic);
    this.#schedule.delete(lane);
    this.#lose(lane);
  }

  /** Counts in the order of the schedule. It does not account for the share that a lower priority gets. */
  countBefore(topics: readonly LiteTopicName[]): ReadonlyMap<LiteTopicName, QueuePlace> {
    const lanes = topics.flatMap((topic) => this.#lanes.get(topic) ?? []);
    return new Map(
      [...this.#schedule.countBefore(lanes, this.#clock.mono())].map(([lane, count]) => [lane.topic, count]),
    );
  }

  countWaiting(flow: string | undefined): WaitingCounts {
    return this.#schedule.countWaiting(flow);
  }

  /** Resolves to the next lane once there is one and the consumer has credit; to undefined once the consumer has
   *  left. */
  take(consumer: Consumer): Promise<Lane | undefined> {
    return new Promise((resolve) => {
      consumer.answer = resolve;
      this.#offer(consumer);
      this.#serve();
    });
  }

  /** The consumer's present credit has changed. */
  creditChanged(consumer: Consumer): void {
    if (consumer.held >= creditOf(consumer.options)) this.#waiting.delete(consumer);
    else this.#offer(consumer);
    this.#serve();
  }

  leave(consumer: Consumer): void {
    this.#waiting.delete(consumer);
    consumer.answer?.(undefined);
    consumer.answer = undefined;
  }

  /** Leases the lane's next record to the consumer. Undefined if only holes were left, the topic ended, or the
   *  consumer left.
   *  @throws BrokerError corrupt, failed, … of the engine; the group tries the record again later */
  async lease(lane: Lane, consumer: Consumer): Promise<Lease | undefined> {
    let record: LogRecord | undefined;
    try {
      record = await this.#nextRecord(lane);
    } catch (error) {
      // The topic ended or the group closed meanwhile: nothing waits for the record any more.
      if (!this.#isCurrent(lane)) return undefined;
      this.#delay(lane, READ_RETRY_MS);
      throw error;
    }
    if (!this.#isCurrent(lane)) return undefined;
    if (record === undefined || consumer.options.signal.aborted) {
      this.#schedule.settle(lane, this.#clock.mono(), 'unused');
      this.#release(lane);
      return undefined;
    }
    const attempt = lane.attempts.offset === record.offset ? lane.attempts.count + 1 : 1;
    this.#note(lane, record.offset, attempt);
    const priority = this.#priority(lane);
    const lease = new Lease(this, { topic: lane.topic, epoch: lane.epoch, record, priority, attempt });
    lane.lease = lease;
    this.#laneOf.set(lease, lane);
    this.#renew(lane);
    const { attemptsMax = ATTEMPTS_MAX, onDeadLetter } = consumer.options;
    if (attempt <= attemptsMax) return lease;
    await this.#bury(lease, onDeadLetter);
    return undefined;
  }

  ack(lease: Lease): Promise<boolean> {
    return this.#consume(lease);
  }

  async reject(lease: Lease, reason: string): Promise<boolean> {
    checkReason(reason);
    return this.#consume(lease, async () => {
      await this.#letters.setAside(lease, lease.attempt, reason);
    });
  }

  /** The record was delivered too often. If it cannot be set aside now, it is tried again later. */
  async #bury(lease: Lease, onDeadLetter: ConsumeOptions['onDeadLetter']): Promise<void> {
    try {
      await this.#consume(lease, async () => {
        const letter = await this.#letters.setAside(lease, lease.attempt - 1, TOO_MANY_ATTEMPTS);
        await onDeadLetter?.(letter, lease.record);
      });
    } catch (error) {
      this.nack(lease, READ_RETRY_MS, { count: false });
      if (!isRetryable(error)) throw error;
    }
  }

  /** `before`: what must be durable before the record is consumed. */
  async #consume(lease: Lease, before?: () => Promise<void>): Promise<boolean> {
    const lane = this.#held(lease);
    if (lane === undefined) return false;
    // The lease must not expire while its acknowledgement is on its way to the disk: `true` would then be wrong.
    lane.settling = true;
    this.#deadlines.delete(lane);
    try {
      await before?.();
      await this.#store.commit(this.name, lane.topic, lane.epoch, lease.record.offset + 1);
    } catch (error) {
      lane.settling = false;
      if (this.#isCurrent(lane)) this.#renew(lane);
      throw error;
    }
    lane.settling = false;
    if (this.#isCurrent(lane)) {
      lane.cursor = lease.record.offset + 1;
      this.#release(lane);
    }
    // If the lane is not current, the topic ended or the group closed meanwhile. The record is consumed all the same.
    return true;
  }

  nack(lease: Lease, delayMs: number, { count = true }: NackOptions = {}): boolean {
    checkDelay(delayMs);
    const lane = this.#held(lease);
    if (lane === undefined) return false;
    if (!count || delayMs > 0) this.#note(lane, lease.record.offset, lease.attempt - (count ? 0 : 1), delayMs);
    if (delayMs === 0) this.#release(lane);
    else this.#delay(lane, delayMs);
    return true;
  }

  extend(lease: Lease): boolean {
    const lane = this.#held(lease);
    if (lane === undefined) return false;
    this.#renew(lane);
    return true;
  }

  charge(lease: Lease, tokens: number): void {
    const lane = this.#laneOf.get(lease);
    if (lane?.lease === lease) this.#schedule.charge(lane, tokens, this.#clock.mono());
  }

  close(): void {
    for (const topic of [...this.#lanes.keys()]) this.drop(topic);
    this.#deadlines.clear();
  }

  #newLane(topic: LiteTopicName, epoch: string): Lane {
    const cursor = this.#store.committed(this.name, topic, epoch);
    const { offset, attempts, delayMs } = this.#store.delivered(this.name, topic) ?? NEVER_DELIVERED;
    const lane: Lane = {
      topic,
      epoch,
      phase: delayMs > 0 ? 'delayed' : 'ready',
      cursor,
      attempts: { offset, count: attempts },
      lease: undefined,
      holder: undefined,
      settling: false,
    };
    this.#lanes.set(topic, lane);
    if (delayMs > 0) this.#deadlines.set(lane, this.#clock.mono() + Math.min(delayMs, DELAY_MS_MAX));
    return lane;
  }

  #note(lane: Lane, offset: number, attempts: number, delayMs = 0): void {
    lane.attempts = { offset, count: attempts };
    this.#store.noteDelivery(this.name, lane.topic, lane.epoch, { offset, attempts, delayMs });
  }

  #isCurrent(lane: Lane): boolean {
    return this.#lanes.get(lane.topic) === lane;
  }

  #held(lease: Lease): Lane | undefined {
    const lane = this.#laneOf.get(lease);
    return lane?.lease === lease && !lane.settling ? lane : undefined;
  }

  #priority(lane: Lane): Priority {
    return this.#store.head(lane.topic)?.priority ?? 'normal';
  }

  #makeReady(lane: Lane): void {
    const head = this.#store.head(lane.topic);
    if (head?.epoch !== lane.epoch || head.next <= lane.cursor) {
      this.drop(lane.topic);
      return;
    }
    if (head.delayMs > 0) {
      this.#schedule.delete(lane);
      lane.phase = 'delayed';
      this.#deadlines.set(lane, this.#clock.mono() + Math.min(head.delayMs, DELAY_MS_MAX));
      return;
    }
    lane.phase = 'ready';
    this.#schedule.add(lane, this.#flowOf(lane.topic), head.priority, this.#clock.mono());
    this.#serve();
  }

  /** A limit opens in the middle of a step of this group or of another one. */
  #serveSoon(): void {
    if (this.#servesSoon) return;
    this.#servesSoon = true;
    queueMicrotask(() => {
      this.#servesSoon = false;
      this.#serve();
    });
  }

  #serve(): void {
    while (this.#waiting.size > 0) {
      const lane = this.#schedule.take(this.#clock.mono());
      if (lane === undefined) return;
      const consumer = this.#waiting.take();
      if (consumer === undefined) return;
      lane.phase = 'taken';
      lane.holder = consumer;
      consumer.held += 1;
      const { answer } = consumer;
      consumer.answer = undefined;
      answer?.(lane);
    }
  }

  #offer(consumer: Consumer): void {
    if (consumer.answer !== undefined && consumer.held < creditOf(consumer.options)) this.#waiting.add(consumer);
  }

  /** Skips holes. Holes at the end of the topic count as consumed, because no consumer could acknowledge them. */
  async #nextRecord(lane: Lane): Promise<LogRecord | undefined> {
    const start = lane.cursor;
    const visible = this.#store.head(lane.topic)?.next ?? 0;
    for (;;) {
      const result = await this.#store.read(lane.topic, { epoch: lane.epoch, offset: lane.cursor }, { maxRecords: 1 });
      const item = result.kind === 'batch' ? result.items[0] : undefined;
      if (item?.kind === 'record') return item;
      if (result.kind !== 'batch' || item === undefined) break;
      lane.cursor = result.next;
    }
    if (lane.cursor < visible && this.#store.head(lane.topic)?.epoch === lane.epoch) {
      // Without an error the lane would be ready again at once, in a loop that lets nothing else in this process run.
      throw new BrokerError('corrupt', `the record at ${lane.cursor} is neither there nor declared a hole`);
    }
    if (lane.cursor > start) await this.#store.commit(this.name, lane.topic, lane.epoch, lane.cursor);
    return undefined;
  }

  #renew(lane: Lane): void {
    this.#deadlines.set(lane, this.#clock.mono() + (lane.holder?.options.visibilityMs ?? 0));
  }

  #due(lane: Lane): void {
    if (lane.phase === 'taken') this.#lose(lane);
    this.#makeReady(lane);
  }

  #release(lane: Lane): void {
    this.#endLease(lane);
    this.#makeReady(lane);
  }

  #delay(lane: Lane, delayMs: number): void {
    this.#endLease(lane);
    lane.phase = 'delayed';
    this.#deadlines.set(lane, this.#clock.mono() + delayMs);
    this.#serve();
  }

  #lose(lane: Lane): void {
    const { lease } = lane;
    this.#endLease(lane);
    lease?.lose();
    this.#serve();
  }

  #endLease(lane: Lane): void {
    const { holder } = lane;
    this.#schedule.settle(lane, this.#clock.mono());
    this.#deadlines.delete(lane);
    lane.lease = undefined;
    lane.holder = undefined;
    if (holder === undefined) return;
    holder.held -= 1;
    this.#offer(holder);
  }
}
