// What group consumption asks of the engine that holds the records. Everything synchronous here is asked
// between two steps that must not be torn apart, so an engine answers it from memory or from an index.
import type { Broker, Priority } from '../broker.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';

export interface QueueHead {
  readonly epoch: string;
  /** The offset the next visible record will get: only what readers may see counts. */
  readonly next: number;
  readonly priority: Priority;
}

export interface QueueStore extends Pick<Broker, 'read'> {
  /** Durable when it resolves. From then on the engine hands the pair to `GroupConsumption` at every start. */
  saveGroup(group: string, pattern: TopicPattern): Promise<void>;
  /** At least every matching topic with records that the group has not consumed. Asked once in a life of the
   *  engine, when the group's first consumer comes; what is appended while it runs is reported by `onAppended`. */
  pendingTopics(group: string, pattern: TopicPattern): Iterable<LiteTopicName> | AsyncIterable<LiteTopicName>;
  head(topic: LiteTopicName): QueueHead | undefined;
  /** The first offset that the group has not consumed in this epoch; 0 if it never has. */
  committed(group: string, topic: LiteTopicName, epoch: string): number;
  /** Durable when it resolves; `committed` may say so at once or then. Of a topic that is gone: no effect. */
  commit(group: string, topic: LiteTopicName, epoch: string, next: number): Promise<void>;
}
