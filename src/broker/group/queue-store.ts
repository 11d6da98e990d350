// What group consumption needs of the engine that holds the records. Synchronous methods are called between two steps
// that must not be interrupted, so an engine answers them from memory or from an index.
import type { Broker, Priority } from '../broker.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';

export interface QueueHead {
  readonly epoch: string;
  /** The offset that the next visible record will get. Only visible records count. */
  readonly next: number;
  readonly priority: Priority;
  /** ms from now until the topic may be delivered; 0: at once. */
  readonly delayMs: number;
}

/** How far a group is with the first record of a topic that it has not consumed. */
export interface DeliveryCount {
  readonly offset: number;
  /** How often the record was delivered and the delivery counted. */
  readonly attempts: number;
  /** ms from now until the record may be delivered again. */
  readonly delayMs: number;
}

export interface QueueStore extends Pick<Broker, 'read'> {
  /** The group is durable when this resolves. From then on the engine passes the pair to `GroupConsumption` at every
   *  start. */
  saveGroup(group: string, pattern: TopicPattern): Promise<void>;
  /** At least every matching topic with records that the group has not consumed. Called once in a process run, when
   *  the group's first consumer comes; `onAppended` reports what is appended meanwhile. */
  pendingTopics(group: string, pattern: TopicPattern): Iterable<LiteTopicName> | AsyncIterable<LiteTopicName>;
  head(topic: LiteTopicName): QueueHead | undefined;
  /** The first offset that the group has not consumed in this epoch; 0 if it has consumed nothing. */
  committed(group: string, topic: LiteTopicName, epoch: string): number;
  /** What `noteDelivery` noted last, unless the group has consumed the record since. */
  delivered(group: string, topic: LiteTopicName): DeliveryCount | undefined;
  /** Durable no later than the next append that the engine acknowledges, and `delivered` returns it then. No effect if
   *  the topic has ended. Never throws: a count that cannot be stored is one that a restart forgets. */
  noteDelivery(group: string, topic: LiteTopicName, epoch: string, count: DeliveryCount): void;
  /** Durable when it resolves; `committed` may return the new value earlier. No effect if the topic has ended. */
  commit(group: string, topic: LiteTopicName, epoch: string, next: number): Promise<void>;
}
