// Group consumption for every engine that lives in one process: the known groups, and the asking side of
// `consume`. What a group does with a topic is in group/consumer-group.ts; what an engine must offer, and be
// told by, is in group/queue-store.ts. The engine tells `onAppended` only what is visible.
import type { Clock } from '../../base/clock.ts';
import type { ConsumeOptions, Delivery } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import { GROUPS_MAX, checkConsume, checkCountedTopics } from './consume-options.ts';
import { ConsumerGroup } from './consumer-group.ts';
import type { Consumer } from './consumer-group.ts';
import type { QueueStore } from './queue-store.ts';
import { literalPrefix, matchesPattern } from '../lite-topic.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';

interface KnownGroup {
  readonly group: ConsumerGroup;
  readonly prefix: string;
  /** Resolves when it is durable and its pending topics are marked; undefined before its first consumer. */
  opened: Promise<void> | undefined;
}

export class GroupConsumption {
  readonly #store: QueueStore;
  readonly #clock: Clock;
  readonly #groups = new Map<string, KnownGroup>();
  readonly #consumers = new Map<Consumer, ConsumerGroup>();
  #closed = false;

  /** `known`: what `saveGroup` was given in earlier lives. */
  constructor(store: QueueStore, clock: Clock, known: Iterable<readonly [group: string, pattern: TopicPattern]> = []) {
    this.#store = store;
    this.#clock = clock;
    for (const [name, pattern] of known) this.#add(name, pattern);
  }

  async *consume(
    name: string,
    pattern: TopicPattern,
    options: ConsumeOptions,
  ): AsyncGenerator<Delivery, void, undefined> {
    checkConsume(name, options);
    const group = await this.#open(name, pattern);
    const consumer: Consumer = { options, held: 0, answer: undefined };
    const leave = (): void => group.leave(consumer);
    this.#consumers.set(consumer, group);
    options.signal.addEventListener('abort', leave, { once: true });
    try {
      while (!options.signal.aborted && !this.#closed) {
        const lane = await group.take(consumer);
        if (lane === undefined) return;
        const delivery = await group.lease(lane, consumer);
        if (delivery !== undefined) yield delivery;
      }
    } finally {
      options.signal.removeEventListener('abort', leave);
      this.#consumers.delete(consumer);
    }
  }

  /** Of those of the topics that wait in the group, how many are before each. */
  countBefore(name: string, topics: readonly LiteTopicName[]): ReadonlyMap<LiteTopicName, number> {
    checkCountedTopics(topics);
    return this.#groups.get(name)?.group.countBefore(topics) ?? new Map<LiteTopicName, number>();
  }

  /** After an append has become visible (also an empty one: it may have changed the priority). */
  onAppended(topic: LiteTopicName): void {
    // A group without a consumer in this life finds everything when its first one comes.
    for (const known of this.#groups.values())
      if (known.opened !== undefined && matches(known, topic)) known.group.mark(topic);
  }

  /** After a topic has ended, whatever the reason. */
  onRemoved(topic: LiteTopicName): void {
    for (const { group } of this.#groups.values()) group.drop(topic);
  }

  /** Has a known group records of this topic to consume? Such a topic does not expire. */
  hasLag(topic: LiteTopicName): boolean {
    const head = this.#store.head(topic);
    if (head === undefined) return false;
    for (const known of this.#groups.values()) {
      if (matches(known, topic) && this.#store.committed(known.group.name, topic, head.epoch) < head.next) return true;
    }
    return false;
  }

  /** Ends the consumers quietly and voids their leases. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const [consumer, group] of this.#consumers) group.leave(consumer);
    for (const { group } of this.#groups.values()) group.close();
  }

  async #open(name: string, pattern: TopicPattern): Promise<ConsumerGroup> {
    if (this.#closed) throw new BrokerError('closed', 'the broker was closed');
    const known = this.#groups.get(name) ?? this.#add(name, pattern);
    if (known.group.pattern !== pattern) throw new BrokerError('invalid-config', 'the group has another pattern');
    known.opened ??= this.#markPending(known);
    try {
      await known.opened;
    } catch (error) {
      // The next consumer tries again; until then the group is known in this life only.
      known.opened = undefined;
      throw error;
    }
    return known.group;
  }

  #add(name: string, pattern: TopicPattern): KnownGroup {
    if (this.#groups.size >= GROUPS_MAX) throw new BrokerError('overloaded', `at most ${GROUPS_MAX} groups`);
    const known = {
      group: new ConsumerGroup(name, pattern, this.#store, this.#clock),
      prefix: literalPrefix(pattern),
      opened: undefined,
    };
    this.#groups.set(name, known);
    return known;
  }

  async #markPending({ group }: KnownGroup): Promise<void> {
    await this.#store.saveGroup(group.name, group.pattern);
    for await (const topic of this.#store.pendingTopics(group.name, group.pattern)) {
      if (this.#closed) return;
      group.mark(topic);
    }
  }
}

/** Most appends are to topics that no group consumes, so the cheap half of the question comes first. */
function matches({ group, prefix }: KnownGroup, topic: LiteTopicName): boolean {
  return topic.startsWith(prefix) && matchesPattern(group.pattern, topic);
}
