// One group: which topics are ready, who asks for a delivery, and who holds which lease. Invariants:
//  - A topic is in at most one of: ready, delayed, taken. So at most one of its records is in flight.
//  - A lane (a topic as this group sees it) is dropped only after looking again whether something came in
//    since, in the same turn of the event loop: no wake-up is lost, and a consumed topic costs nothing.
//  - A delivery goes only to a consumer that has asked and has credit: one that stops asking holds up no other.
import type { Clock } from '../../base/clock.ts';
import type { ConsumeOptions, LogRecord, Priority } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import { Deadlines } from './deadlines.ts';
import { Lease } from './lease.ts';
import type { LeaseOwner } from './lease.ts';
import type { QueueStore } from './queue-store.ts';
import { PriorityLists, ReadyList } from './ready-list.ts';

/** A topic whose record could not be read waits this long, so that it keeps no other from being served. */
const READ_RETRY_MS = 1000;

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
  /** Lanes taken and not settled, at most `credit`. */
  held: number;
  /** The one unanswered question for a lane. */
  answer: ((lane: Lane | undefined) => void) | undefined;
}

export class ConsumerGroup implements LeaseOwner {
  readonly name: string;
  readonly pattern: TopicPattern;
  readonly #store: QueueStore;
  readonly #clock: Clock;
  readonly #lanes = new Map<LiteTopicName, Lane>();
  readonly #laneOf = new WeakMap<Lease, Lane>();
  readonly #ready = new PriorityLists<Lane>();
  readonly #waiting = new ReadyList<Consumer>();
  readonly #deadlines: Deadlines<Lane>;

  constructor(name: string, pattern: TopicPattern, store: QueueStore, clock: Clock) {
    this.name = name;
    this.pattern = pattern;
    this.#store = store;
    this.#clock = clock;
    this.#deadlines = new Deadlines(clock, (lane) => this.#due(lane));
  }

  /** There may be something to deliver. Cheap to say twice. */
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

  /** The topic is gone, and so are its leases. */
  drop(topic: LiteTopicName): void {
    const lane = this.#lanes.get(topic);
    if (lane === undefined) return;
    this.#lanes.delete(topic);
    this.#ready.delete(lane);
    this.#lose(lane);
  }

  /** By the order in which the classes are served, not counting that a lower one is let through now and then. */
  countBefore(topics: readonly LiteTopicName[]): ReadonlyMap<LiteTopicName, number> {
    const lanes = new Set(topics.flatMap((topic) => this.#lanes.get(topic) ?? []));
    return new Map([...this.#ready.countBefore(lanes)].map(([lane, count]) => [lane.topic, count]));
  }

  /** The next lane in turn, once there is one and the consumer has credit; undefined once it has left. */
  take(consumer: Consumer): Promise<Lane | undefined> {
    return new Promise((resolve) => {
      consumer.answer = resolve;
      this.#offer(consumer);
      this.#serve();
    });
  }

  leave(consumer: Consumer): void {
    this.#waiting.delete(consumer);
    consumer.answer?.(undefined);
    consumer.answer = undefined;
  }

  /** Undefined where nothing came of it: only holes were left, the topic went away, or the consumer did.
   *  @throws BrokerError corrupt, failed, … of the engine; the record is tried again later */
  async lease(lane: Lane, consumer: Consumer): Promise<Lease | undefined> {
    let record: LogRecord | undefined;
    try {
      record = await this.#nextRecord(lane);
    } catch (error) {
      // Removed or closed meanwhile: the error is about something that nobody waits for any more.
      if (!this.#isCurrent(lane)) return undefined;
      this.#delay(lane, READ_RETRY_MS);
      throw error;
    }
    if (!this.#isCurrent(lane)) return undefined;
    if (record === undefined || consumer.options.signal.aborted) {
      this.#release(lane);
      return undefined;
    }
    const count = lane.attempts.offset === record.offset ? lane.attempts.count + 1 : 1;
    lane.attempts = { offset: record.offset, count };
    const priority = this.#priority(lane);
    const lease = new Lease(this, { topic: lane.topic, epoch: lane.epoch, record, priority, attempt: count });
    lane.lease = lease;
    this.#laneOf.set(lease, lane);
    this.#renew(lane);
    return lease;
  }

  async ack(lease: Lease): Promise<boolean> {
    const lane = this.#held(lease);
    if (lane === undefined) return false;
    // It must not run out while its acknowledgement is on its way to the disk: the answer would be wrong.
    lane.settling = true;
    this.#deadlines.delete(lane);
    try {
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
    // Not current: the topic was removed or the broker closed while it was on its way. It is consumed all the same.
    return true;
  }

  nack(lease: Lease, delayMs: number): boolean {
    if (!Number.isSafeInteger(delayMs) || delayMs < 0)
      throw new BrokerError('invalid-config', 'delayMs is a whole number from 0');
    const lane = this.#held(lease);
    if (lane === undefined) return false;
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

  close(): void {
    for (const topic of [...this.#lanes.keys()]) this.drop(topic);
    this.#deadlines.clear();
  }

  #newLane(topic: LiteTopicName, epoch: string): Lane {
    const cursor = this.#store.committed(this.name, topic, epoch);
    const attempts = { offset: -1, count: 0 };
    const lane: Lane = {
      topic,
      epoch,
      phase: 'ready',
      cursor,
      attempts,
      lease: undefined,
      holder: undefined,
      settling: false,
    };
    this.#lanes.set(topic, lane);
    return lane;
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
    lane.phase = 'ready';
    this.#ready.add(lane, head.priority);
    this.#serve();
  }

  #serve(): void {
    while (this.#waiting.size > 0) {
      const lane = this.#ready.take();
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
    if (consumer.answer !== undefined && consumer.held < consumer.options.credit) this.#waiting.add(consumer);
  }

  /** Steps over holes. Where nothing follows them they are consumed: nobody could acknowledge what is not there. */
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
      // It would be tried again at once and for ever, and nothing else in this process would run.
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
    this.#deadlines.delete(lane);
    lane.lease = undefined;
    lane.holder = undefined;
    if (holder === undefined) return;
    holder.held -= 1;
    this.#offer(holder);
  }
}
