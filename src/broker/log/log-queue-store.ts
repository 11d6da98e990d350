// What the consumer groups read and write in the log engine: which topics have records that a group has not consumed,
// and how far each group has consumed. The groups themselves are in broker/group.
import type { Broker, ReadFrom, ReadOptions, ReadResult } from '../broker.ts';
import type { DeliveryCount, QueueHead, QueueStore } from '../group/queue-store.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import type { Appender } from './commit/appender.ts';
import type { EngineTime } from './topics/engine-time.ts';
import type { Expiry } from './topics/expiry.ts';
import type { TopicLister } from './topics/topic-lister.ts';
import type { TopicTable } from './topics/topic-table.ts';
import type { Topic } from './topics/topic.ts';

export interface LogQueueParts {
  readonly table: TopicTable;
  /** The saved groups with their patterns. */
  readonly groups: ReadonlyMap<string, TopicPattern>;
  readonly appender: Appender;
  readonly expiry: Expiry;
  readonly lister: TopicLister;
  readonly time: EngineTime;
}

export class LogQueueStore implements QueueStore {
  readonly #parts: LogQueueParts;
  readonly #engine: Pick<Broker, 'read'>;

  constructor(parts: LogQueueParts, engine: Pick<Broker, 'read'>) {
    this.#parts = parts;
    this.#engine = engine;
  }

  read(name: LiteTopicName, from: ReadFrom, options?: ReadOptions): Promise<ReadResult> {
    return this.#engine.read(name, from, options);
  }

  async saveGroup(group: string, pattern: TopicPattern): Promise<void> {
    if (this.#parts.groups.get(group) === pattern) return;
    await this.#parts.appender.saveGroup(group, pattern);
  }

  pendingTopics(group: string, pattern: TopicPattern): AsyncIterable<LiteTopicName> {
    return this.#parts.lister.names(pattern, (topic) => hasMore(topic, group));
  }

  head(name: LiteTopicName): QueueHead | undefined {
    const version = this.#parts.table.find(name)?.visible;
    if (version === undefined) return undefined;
    const { state, priority, notBefore } = version;
    const delayMs = notBefore === undefined ? 0 : Math.max(0, notBefore - this.#parts.time.now());
    return { epoch: state.epoch, next: state.next, priority, delayMs };
  }

  committed(group: string, name: LiteTopicName): number {
    return this.#parts.table.find(name)?.consumed?.get(group) ?? 0;
  }

  delivered(group: string, name: LiteTopicName): DeliveryCount | undefined {
    const delivered = this.#parts.table.find(name)?.delivered?.get(group);
    if (delivered === undefined) return undefined;
    const { offset, attempts, notBefore } = delivered;
    return { offset, attempts, delayMs: Math.max(0, notBefore - this.#parts.time.now()) };
  }

  noteDelivery(group: string, name: LiteTopicName, epoch: string, { offset, attempts, delayMs }: DeliveryCount): void {
    const notBefore = delayMs === 0 ? 0 : this.#parts.time.now() + delayMs;
    // An engine that cannot store it also refuses what the consumer appends.
    this.#parts.appender.delivered(name, group, epoch, { offset, attempts, notBefore }).catch(() => undefined);
  }

  async commit(group: string, name: LiteTopicName, epoch: string, next: number): Promise<void> {
    await this.#parts.appender.consumed(name, group, epoch, next);
    // The topic may have become due while the group held it.
    const at = this.#parts.table.find(name)?.pending?.expiresAt;
    if (at !== undefined) this.#parts.expiry.arm(at);
  }
}

function hasMore({ visible, consumed }: Topic, group: string): boolean {
  return visible !== undefined && (consumed?.get(group) ?? 0) < visible.state.next;
}
