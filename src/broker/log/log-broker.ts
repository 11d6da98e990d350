// The embedded durable engine: one commit log for all topics, an index that is written down by checkpoints, and hot
// tails in memory. This class answers the broker's calls; what a write means is decided in appender.ts, when it is
// durable in group-commit.ts, and how a folder is opened in open-log-broker.ts.
import type {
  Appended, BrokerEngine, BrokerHealth, ConsumeOptions, Delivery, ReadFrom, ReadOptions, ReadResult, TailOptions,
  TopicInfo, TopicPage, TopicWrite,
} from '../broker.ts';
import { TOMBSTONE_MS } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { GroupConsumption } from '../group-consumption.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import type { Position } from '../position.ts';
import { TailReader, type TailSource } from '../tail/tail-reader.ts';
import type { TailRing } from '../tail/tail-ring.ts';
import type { Appender } from './appender.ts';
import type { ColdReads } from './cold-reads.ts';
import type { EngineTime } from './engine-time.ts';
import type { Expiry } from './expiry.ts';
import type { GroupCommit } from './group-commit.ts';
import { batchOf, planRead } from './read-plan.ts';
import { infoOf, type TopicLister } from './topic-lister.ts';
import { addReader, removeReader } from './topic-readers.ts';
import type { TopicTable } from './topic-table.ts';
import type { Topic } from './topic.ts';

export interface LogBrokerParts {
  readonly table: TopicTable;
  readonly appender: Appender;
  readonly commit: GroupCommit;
  readonly cold: ColdReads;
  readonly expiry: Expiry;
  readonly time: EngineTime;
  readonly lister: TopicLister;
  readonly ring: TailRing;
  readonly groups: GroupConsumption;
  readonly durability: string;
  /** Writes the last checkpoint and releases files and lock. */
  shutDown(): Promise<void>;
}

const EVERYTHING: ReadOptions = { majorOnly: false };
const MAJOR_ONLY: ReadOptions = { majorOnly: true };

export class LogBroker implements BrokerEngine {
  readonly #parts: LogBrokerParts;
  readonly #tails = new Set<TailReader>();
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
    const topic = this.#parts.table.find(name);
    if (topic !== undefined && this.#parts.expiry.isDue(topic)) await this.#expire(topic);
    return this.#read(name, from, options);
  }

  tail(name: LiteTopicName, from: Position, options: TailOptions): AsyncIterable<ReadResult> {
    return new TailReader(this.#tailSource(name), from, options);
  }

  async describe(names: readonly LiteTopicName[]): Promise<readonly (TopicInfo | undefined)[]> {
    this.#mustBeOpen();
    const topics = names.map((name) => this.#parts.table.find(name));
    for (const topic of topics) if (topic !== undefined && this.#parts.expiry.isDue(topic)) await this.#expire(topic);
    return topics.map((topic) => topic && infoOf(topic));
  }

  async remove(name: LiteTopicName): Promise<boolean> {
    this.#mustBeOpen();
    const topic = this.#parts.table.find(name);
    if (topic === undefined) return false;
    if (!this.#parts.expiry.isDue(topic)) return this.#parts.appender.end(topic, 'removed');
    await this.#expire(topic);
    return false;
  }

  async list(pattern: TopicPattern, page: { readonly after?: LiteTopicName; readonly limit: number }): Promise<TopicPage> {
    this.#mustBeOpen();
    return this.#parts.lister.page(pattern, page, (topic) => this.#parts.expiry.isDue(topic));
  }

  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery> {
    return this.#parts.groups.consume(group, pattern, options);
  }

  async countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, number>> {
    this.#mustBeOpen();
    return this.#parts.groups.countBefore(group, topics);
  }

  health(): BrokerHealth {
    return { state: this.#parts.commit.state, durability: this.#parts.durability };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#parts.groups.close();
    this.#parts.expiry.close();
    for (const tail of [...this.#tails]) tail.stop();
    await this.#parts.commit.drained();
    await this.#parts.shutDown();
  }

  /** Its end is durable before anybody is told of it. */
  async #expire(topic: Topic): Promise<void> {
    await this.#parts.appender.end(topic, 'expired');
  }

  #read(name: LiteTopicName, from: ReadFrom, options: ReadOptions): ReadResult | Promise<ReadResult> {
    return this.#readTopic(this.#parts.table.find(name), from, options);
  }

  #readTopic(topic: Topic | undefined, from: ReadFrom, options: ReadOptions): ReadResult | Promise<ReadResult> {
    if (topic?.visible === undefined) return this.#endOf(topic);
    const plan = planRead(topic, topic.visible, from, options);
    if (plan.kind === 'reset') return plan;
    return plan.cold.length === 0 ? batchOf(plan) : this.#parts.cold.complete(topic.name, plan);
  }

  #endOf(topic: Topic | undefined): ReadResult {
    const tombstone = topic?.tombstone;
    if (topic === undefined || tombstone === undefined || tombstone.at + TOMBSTONE_MS <= this.#parts.time.now()) return { kind: 'missing' };
    return topic.endReset(tombstone);
  }

  #tailSource(name: LiteTopicName): TailSource {
    // A topic with readers stays in memory, so that it is looked for once and not with every token.
    let topic: Topic | undefined;
    return {
      readFrom: (position, majorOnly) => this.#readTopic(topic, position, majorOnly ? MAJOR_ONLY : EVERYTHING),
      attach: (reader) => {
        this.#mustBeOpen();
        this.#tails.add(reader);
        topic = this.#parts.table.find(name);
        if (topic !== undefined) addReader(topic.readers, reader);
      },
      detach: (reader) => {
        this.#tails.delete(reader);
        if (topic !== undefined) removeReader(topic.readers, reader);
      },
    };
  }

  #mustBeOpen(): void {
    if (this.#closed !== undefined) throw closed();
  }
}

function closed(): BrokerError {
  return new BrokerError('closed', 'the broker was closed');
}
