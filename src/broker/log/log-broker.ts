// The embedded durable engine: one commit log for all topics, an index that is written down by checkpoints, and hot
// tails in memory. This class answers the broker's calls; what a write means is decided in appender.ts, when it is
// durable in group-commit.ts, and how a folder is opened in open-log-broker.ts.
import type {
  Appended,
  BrokerEngine,
  BrokerHealth,
  ConsumeOptions,
  Delivery,
  ReadFrom,
  ReadOptions,
  ReadResult,
  TailOptions,
  TopicInfo,
  TopicPage,
  TopicWrite,
} from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { Clock } from '../../base/clock.ts';
import type { GroupConsumption } from '../group/group-consumption.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import type { Position } from '../position.ts';
import type { TailRing } from '../tail/wake-list.ts';
import type { Appender } from './commit/appender.ts';
import type { DiskReserve } from './disk/disk-reserve.ts';
import type { EngineTime } from './topics/engine-time.ts';
import type { Expiry } from './topics/expiry.ts';
import type { GroupCommit } from './commit/group-commit.ts';
import type { TopicLister } from './topics/topic-lister.ts';
import type { TopicReads } from './read/topic-reads.ts';
import type { TopicTable } from './topics/topic-table.ts';
import { infoOf, type Topic } from './topics/topic.ts';

export interface LogBrokerParts {
  readonly table: TopicTable;
  readonly appender: Appender;
  readonly commit: GroupCommit;
  readonly reads: TopicReads;
  readonly reserve: DiskReserve;
  readonly expiry: Expiry;
  readonly lister: TopicLister;
  readonly ring: TailRing;
  readonly groups: GroupConsumption;
  readonly time: EngineTime;
  readonly clock: Clock;
  readonly durability: string;
  /** Writes the last checkpoint and releases files and lock. */
  shutDown(): Promise<void>;
}

/** A full device is looked at again this often at most, by whoever asks for the health. */
const ROOM_LOOK_MS = 1_000;

export class LogBroker implements BrokerEngine {
  readonly #parts: LogBrokerParts;
  #lookedAt = -Infinity;
  #closed: Promise<void> | undefined;

  constructor(parts: LogBrokerParts) {
    this.#parts = parts;
  }

  append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    if (this.#closed !== undefined) return Promise.reject(closed());
    return this.#parts.appender.append(writes);
  }

  async read(name: LiteTopicName, from: ReadFrom, options: ReadOptions = {}): Promise<ReadResult> {
    this.#mustBeOpen();
    if (this.#isDue(this.#parts.table.find(name))) await this.#expire(name);
    return this.#parts.reads.read(this.#parts.table.find(name), from, options);
  }

  tail(name: LiteTopicName, from: Position, options: TailOptions): AsyncIterable<ReadResult> {
    return this.#parts.reads.tail(name, from, options);
  }

  async describe(names: readonly LiteTopicName[]): Promise<readonly (TopicInfo | undefined)[]> {
    this.#mustBeOpen();
    for (;;) {
      const topics = names.map((name) => this.#parts.table.find(name));
      const due = names.filter((_, i) => this.#isDue(topics[i]));
      if (due.length === 0) return topics.map((topic) => topic && infoOf(topic));
      // All topics are looked up again afterwards: any of them may leave memory meanwhile, and what was found is its past then.
      await Promise.all(due.map((name) => this.#expire(name)));
    }
  }

  async remove(name: LiteTopicName): Promise<boolean> {
    this.#mustBeOpen();
    const topic = this.#parts.table.find(name);
    if (topic === undefined) return false;
    if (!this.#isDue(topic)) return this.#parts.appender.end(name, 'removed');
    await this.#expire(name);
    return false;
  }

  async list(
    pattern: TopicPattern,
    page: { readonly after?: LiteTopicName; readonly limit: number },
  ): Promise<TopicPage> {
    this.#mustBeOpen();
    return this.#parts.lister.page(pattern, page, (topic) => this.#isDue(topic));
  }

  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery> {
    return this.#parts.groups.consume(group, pattern, options);
  }

  async countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, number>> {
    this.#mustBeOpen();
    return this.#parts.groups.countBefore(group, topics);
  }

  health(): BrokerHealth {
    const { commit, reserve, durability, time } = this.#parts;
    const isFull = commit.state === 'ready' && !reserve.isWhole;
    if (isFull) this.#lookForRoom();
    return { state: isFull ? 'full' : commit.state, durability, notice: time.notice };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#parts.groups.close();
    this.#parts.expiry.close();
    this.#parts.reads.close();
    await this.#parts.commit.drained();
    await this.#parts.shutDown();
  }

  #isDue(topic: Topic | undefined): boolean {
    return topic !== undefined && this.#parts.expiry.isDue(topic);
  }

  /** The next answer tells what was found. Otherwise a log that nobody appends to would stay `full` for ever. */
  #lookForRoom(): void {
    const now = this.#parts.clock.mono();
    if (this.#closed !== undefined || now - this.#lookedAt < ROOM_LOOK_MS) return;
    this.#lookedAt = now;
    // A reserve that cannot be written is told to the next append, which looks for room as well.
    this.#parts.reserve.heal().catch(() => undefined);
  }

  /** Its end is durable before anybody is told of it. */
  async #expire(name: LiteTopicName): Promise<void> {
    await this.#parts.appender.end(name, 'expired');
  }

  #mustBeOpen(): void {
    if (this.#closed !== undefined) throw closed();
  }
}

function closed(): BrokerError {
  return new BrokerError('closed', 'the broker was closed');
}
