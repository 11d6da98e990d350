// The reference engine: the whole contract in the least code, for tests and for trials. It decides and applies each
// append in one turn of the event loop, which is its serialization point. Visible is never more than durable, because
// nothing here survives the process.
import type { Clock } from '../../base/clock.ts';
import { SLICE_LIMITS, TurnSlice } from '../../base/turn-slice.ts';
import { checkUnchanged, planAppend, validateWrites } from '../append-rules.ts';
import type { AppendSubject, PlannedWrite } from '../append-rules.ts';
import { TOMBSTONE_MS, checkListLimit } from '../broker.ts';
import type {
  Appended,
  BrokerEngine,
  ConsumeOptions,
  Delivery,
  FlowOf,
  ReadFrom,
  ReadOptions,
  ReadResult,
} from '../broker.ts';
import type { BrokerHealth } from '../health.ts';
import type { FlowPolicyOf, Paused, QueuePlace } from '../flow-policy.ts';
import type { Reset, Tail, TailOptions, TopicInfo, TopicPage, TopicWrite, WaitingCounts } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import { Deadlines } from '../group/deadlines.ts';
import type { QueueStore } from '../group/queue-store.ts';
import { GroupConsumption } from '../group/group-consumption.ts';
import { expiryAfter, hasEnded, isKeptByReaders, lifeAfter, lifetimeOf, type TopicLife } from '../lifetime.ts';
import { matchesPattern } from '../lite-topic.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import type { Position } from '../position.ts';
import { Accounts, type AccountOf } from '../accounts.ts';
import { TailReader } from '../tail/tail-reader.ts';
import { WakeList } from '../tail/wake-list.ts';
import { firstNames } from './first-names.ts';
import { MemoryBlobs } from './memory-blobs.ts';
import { MemoryTailSource, type TailedTopics } from './memory-tail.ts';
import { MemoryTopic } from './memory-topic.ts';

/** The number of topics, and of tombstones. Each takes some hundred bytes. */
export const MEMORY_TOPICS_MAX = 1_000_000;

export interface MemoryBrokerOptions {
  readonly clock: Clock;
  /** Must never return the same epoch twice. */
  readonly newEpoch: () => string;
  /** Default: all topics are of one flow. */
  readonly flowOf?: FlowOf;
  /** Default: all flows have the same weight. */
  readonly policyOf?: FlowPolicyOf;
  /** Default: no topic counts for an account. */
  readonly accountOf?: AccountOf;
}

interface Entry {
  readonly topic: MemoryTopic;
  readonly readers: Set<TailReader>;
  /** Group → the first offset that it has not consumed. */
  readonly committed: Map<string, number>;
  /** Group → how far it is with the first record after that. `until`: monotonic. */
  readonly delivered: Map<string, { readonly offset: number; readonly attempts: number; readonly until: number }>;
  /** Its times are monotonic: a jump of the wall clock must not end all topics at once. */
  life: TopicLife | undefined;
  expiresAt: number | undefined;
  besideBytes: number;
  /** The topic's time came while a group still had records of it to consume. */
  overdue: boolean;
}

const NO_TOPIC: AppendSubject = { state: undefined, isMinor: () => false };

export class MemoryBroker implements BrokerEngine, TailedTopics {
  readonly blobs: MemoryBlobs;
  readonly #clock: Clock;
  readonly #topics = new Map<LiteTopicName, Entry>();
  readonly #tombstones = new Map<LiteTopicName, Reset>();
  /** Deadlines of topics with a TTL and of tombstones; a name is one or the other. */
  readonly #deadlines: Deadlines<LiteTopicName>;
  readonly #groups: GroupConsumption;
  readonly #tails = new Set<TailReader>();
  readonly #wakes = new WakeList();
  readonly #newEpoch: () => string;
  readonly #accounts: Accounts;
  #closed = false;

  constructor(options: MemoryBrokerOptions) {
    const { clock, newEpoch, flowOf = () => '', policyOf = () => ({}) } = options;
    this.#accounts = new Accounts(options.accountOf);
    this.blobs = new MemoryBlobs(clock);
    this.#clock = clock;
    this.#deadlines = new Deadlines(clock, (name) => this.#due(name));
    this.#groups = new GroupConsumption(this.#queueStore(), { clock, flowOf, policyOf, broker: this });
    this.#newEpoch = newEpoch;
  }

  async append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    this.#mustBeOpen();
    validateWrites(writes);
    const plan = planAppend(
      writes,
      writes.map(({ topic }) => this.#topics.get(topic)?.topic ?? NO_TOPIC),
      this.#newEpoch,
    );
    if (plan.kind === 'duplicate') return plan.answers;
    const created = plan.writes.filter((planned) => planned.created).length;
    if (created > 0 && this.#topics.size + created > MEMORY_TOPICS_MAX)
      throw new BrokerError('overloaded', `at most ${MEMORY_TOPICS_MAX} topics`);
    const besideOf = (name: LiteTopicName): number => this.#topics.get(name)?.besideBytes ?? 0;
    const release = this.#accounts.reserve(plan.writes, besideOf, this.#clock.mono());
    const written = plan.writes.map((planned) => this.#apply(planned));
    release?.();
    for (const announce of written) announce();
    this.#wakes.drain();
    return plan.answers;
  }

  async read(name: LiteTopicName, from: ReadFrom, options: ReadOptions = {}): Promise<ReadResult> {
    this.#mustBeOpen();
    return this.readNow(name, from, options);
  }

  tail(name: LiteTopicName, from: Position, options: TailOptions): Tail {
    return new TailReader(new MemoryTailSource(this, name), from, options);
  }

  readNow(name: LiteTopicName, from: ReadFrom, options: ReadOptions): ReadResult {
    return this.#topics.get(name)?.topic.read(from, options) ?? this.#tombstones.get(name) ?? { kind: 'missing' };
  }

  attach(name: LiteTopicName, reader: TailReader): Set<TailReader> | undefined {
    this.#mustBeOpen();
    this.#tails.add(reader);
    return this.#topics.get(name)?.readers.add(reader);
  }

  detach(name: LiteTopicName, readers: Set<TailReader> | undefined, reader: TailReader): void {
    this.#tails.delete(reader);
    readers?.delete(reader);
    const entry = this.#topics.get(name);
    if (entry === undefined || entry.readers !== readers || readers.size > 0 || !isKeptByReaders(entry.life)) return;
    this.#extend(name, entry);
  }

  async describe(names: readonly LiteTopicName[]): Promise<readonly (TopicInfo | undefined)[]> {
    this.#mustBeOpen();
    return names.map((name) => this.#info(name));
  }

  async remove(name: LiteTopicName, ifUnchanged?: Position): Promise<boolean> {
    this.#mustBeOpen();
    const entry = this.#topics.get(name);
    if (entry === undefined) return false;
    checkUnchanged(entry.topic.state, ifUnchanged);
    this.#end(name, entry, 'removed');
    return true;
  }

  async list(
    pattern: TopicPattern,
    { after, limit }: { readonly after?: LiteTopicName; readonly limit: number },
  ): Promise<TopicPage> {
    this.#mustBeOpen();
    checkListLimit(limit);
    const matches = (name: LiteTopicName): boolean => matchesPattern(pattern, name);
    const page = { after, count: limit + 1, matches };
    const names = await firstNames(this.#topics.keys(), page, new TurnSlice(this.#clock, SLICE_LIMITS));
    this.#mustBeOpen();
    const topics = names.slice(0, limit).flatMap((name) => this.#info(name) ?? []);
    const last = names[limit - 1];
    return names.length > limit && last !== undefined ? { topics, after: last } : { topics };
  }

  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery> {
    return this.#groups.consume(group, pattern, options);
  }

  async countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>> {
    this.#mustBeOpen();
    return this.#groups.countBefore(group, topics);
  }

  async countWaiting(groups: readonly string[], flow?: string): Promise<readonly WaitingCounts[]> {
    return this.#groups.countWaiting(groups, flow);
  }

  async setPaused(paused: Paused): Promise<Paused> {
    return this.#groups.setPaused(paused);
  }

  health(): BrokerHealth {
    return { state: 'ready', durability: 'memory: nothing survives the process' };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#groups.close();
    this.#deadlines.clear();
    for (const tail of [...this.#tails]) tail.stop();
    this.#topics.clear();
    this.#tombstones.clear();
  }

  /** Returns the function that announces the write: it is called when all writes of the append are in place. */
  #apply(planned: PlannedWrite): () => void {
    const name = planned.write.topic;
    const account = this.#accounts.of(name);
    if (planned.created) account?.topicMade(this.#clock.mono());
    const entry = this.#topics.get(name) ?? this.#create(name, planned.state.epoch);
    const before = sizeOf(entry);
    entry.topic.apply(planned);
    const { delayMs } = planned.write;
    if (delayMs !== undefined) entry.topic.notBefore = Math.max(entry.topic.notBefore, this.#clock.mono() + delayMs);
    entry.besideBytes = planned.write.besideBytes ?? entry.besideBytes;
    account?.addBytes(sizeOf(entry) - before);
    this.#slide(name, entry, planned);
    const major = planned.write.records.some((record) => record.major);
    return () => {
      this.#wakes.mark(entry.readers, major);
      this.#groups.onAppended(name);
    };
  }

  #create(name: LiteTopicName, epoch: string): Entry {
    const entry = {
      topic: new MemoryTopic(epoch),
      readers: new Set<TailReader>(),
      committed: new Map<string, number>(),
      delivered: new Map(),
      life: undefined,
      expiresAt: undefined,
      besideBytes: 0,
      overdue: false,
    };
    this.#topics.set(name, entry);
    this.#tombstones.delete(name);
    this.#deadlines.delete(name);
    return entry;
  }

  #slide(name: LiteTopicName, entry: Entry, { write, created }: PlannedWrite): void {
    const now = this.#clock.mono();
    entry.life = lifeAfter(entry.life, write, created, now);
    this.#expireAt(name, entry, expiryAfter(entry.life, entry.topic.ttlMs, now));
  }

  /** The last reader has left, or there are readers when the topic's time is up. */
  #extend(name: LiteTopicName, entry: Entry): void {
    const { life, topic } = entry;
    this.#expireAt(name, entry, expiryAfter(life, topic.ttlMs, this.#clock.mono()));
  }

  /** `at`: monotonic. */
  #expireAt(name: LiteTopicName, entry: Entry, at: number | undefined): void {
    if (at === undefined) return;
    entry.expiresAt = this.#clock.now() + (at - this.#clock.mono());
    entry.overdue = false;
    this.#deadlines.set(name, at);
  }

  #due(name: LiteTopicName): void {
    const entry = this.#topics.get(name);
    if (entry === undefined) {
      this.#tombstones.delete(name);
      return;
    }
    const { life, readers } = entry;
    if (hasEnded(life, this.#clock.mono())) this.#end(name, entry, 'expired');
    else if (readers.size > 0 && isKeptByReaders(life)) this.#extend(name, entry);
    else if (!this.#groups.hasLag(name)) this.#end(name, entry, 'expired');
    else {
      entry.overdue = true;
      if (life?.endsAt !== undefined) this.#deadlines.set(name, life.endsAt);
    }
  }

  #end(name: LiteTopicName, entry: Entry, reason: 'expired' | 'removed'): void {
    const { topic, readers } = entry;
    const reset = topic.reset(reason);
    this.#accounts.of(name)?.topicEnded(sizeOf(entry));
    this.#topics.delete(name);
    this.#tombstones.set(name, reset);
    for (const oldest of this.#tombstones.keys()) {
      if (this.#tombstones.size <= MEMORY_TOPICS_MAX) break;
      this.#tombstones.delete(oldest);
    }
    this.#deadlines.set(name, this.#clock.mono() + TOMBSTONE_MS);
    for (const reader of readers) reader.end(reset);
    this.#wakes.mark(readers, true);
    this.#groups.onRemoved(name);
    this.#wakes.drain();
  }

  #info(name: LiteTopicName): TopicInfo | undefined {
    const entry = this.#topics.get(name);
    if (entry === undefined) return undefined;
    const { state, bytes, ttlMs } = entry.topic;
    const { epoch, next, lastMajor, fence } = state;
    const info = { topic: name, epoch, earliest: 0, next, lastMajor, fence, bytes };
    const { life, expiresAt } = entry;
    if (expiresAt === undefined) return info;
    const toWall = this.#clock.now() - this.#clock.mono();
    const endsAt = life?.endsAt === undefined ? undefined : life.endsAt + toWall;
    return { ...info, ...lifetimeOf(ttlMs, expiresAt, life && { ...life, endsAt }) };
  }

  async *#names(pattern: TopicPattern): AsyncGenerator<LiteTopicName> {
    const slice = new TurnSlice(this.#clock, SLICE_LIMITS);
    for (const name of this.#topics.keys()) {
      if (matchesPattern(pattern, name)) yield name;
      if (slice.isOver()) await slice.next();
    }
  }

  #queueStore(): QueueStore {
    return {
      read: (name, from, options) => this.read(name, from, options),
      saveGroup: async () => undefined,
      pendingTopics: (_group, pattern) => this.#names(pattern),
      head: (name) => {
        const topic = this.#topics.get(name)?.topic;
        if (topic === undefined) return undefined;
        const { state, priority, notBefore } = topic;
        const delayMs = Math.max(0, notBefore - this.#clock.mono());
        return { epoch: state.epoch, next: state.next, priority, delayMs };
      },
      committed: (group, name) => this.#topics.get(name)?.committed.get(group) ?? 0,
      delivered: (group, name) => {
        const delivered = this.#topics.get(name)?.delivered.get(group);
        return delivered && { ...delivered, delayMs: Math.max(0, delivered.until - this.#clock.mono()) };
      },
      noteDelivery: (group, name, epoch, { offset, attempts, delayMs }) => {
        const entry = this.#topics.get(name);
        if (entry?.topic.state.epoch !== epoch) return;
        entry.delivered.set(group, { offset, attempts, until: this.#clock.mono() + delayMs });
      },
      commit: async (group, name, epoch, next) => {
        const entry = this.#topics.get(name);
        if (entry?.topic.state.epoch !== epoch) return;
        entry.committed.set(group, next);
        entry.delivered.delete(group);
        if (entry.overdue) this.#deadlines.set(name, this.#clock.mono());
      },
    };
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new BrokerError('closed', 'the broker was closed');
  }
}

function sizeOf({ topic, besideBytes }: Entry): number {
  return topic.bytes + besideBytes;
}
