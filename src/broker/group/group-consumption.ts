// Group consumption for every engine that runs in one process: the known groups, and `consume`. What a group does with
// a topic is in consumer-group.ts; what an engine must provide is in queue-store.ts. The engine calls `onAppended` only
// for visible records.
import type { ConsumeOptions, Delivery, WaitingCounts } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { FlowPolicyOf, Paused, QueuePlace } from '../flow-policy.ts';
import { GROUPS_MAX, checkConsume, checkCountedGroups, checkCountedTopics, checkPaused } from './consume-options.ts';
import { ConsumerGroup } from './consumer-group.ts';
import type { Consumer, GroupOptions } from './consumer-group.ts';
import { FlowGates } from './flow-gates.ts';
import type { QueueStore } from './queue-store.ts';
import { literalPrefix, matchesPattern } from '../lite-topic.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';

const NOTHING_WAITS: WaitingCounts = { high: 0, normal: 0, low: 0 };

export interface ConsumptionOptions extends Omit<GroupOptions, 'gates'> {
  readonly policyOf: FlowPolicyOf;
}

interface KnownGroup {
  readonly group: ConsumerGroup;
  readonly prefix: string;
  /** Resolves when the group is durable and its pending topics are marked; undefined before its first consumer. */
  opened: Promise<void> | undefined;
}

export class GroupConsumption {
  readonly #store: QueueStore;
  readonly #options: GroupOptions;
  readonly #gates: FlowGates;
  readonly #groups = new Map<string, KnownGroup>();
  readonly #consumers = new Map<Consumer, ConsumerGroup>();
  #closed = false;

  /** `known`: the pairs that `saveGroup` stored in earlier process runs. */
  constructor(
    store: QueueStore,
    { policyOf, ...options }: ConsumptionOptions,
    known: Iterable<readonly [group: string, pattern: TopicPattern]> = [],
  ) {
    this.#store = store;
    this.#gates = new FlowGates(options.clock, policyOf);
    this.#options = { ...options, gates: this.#gates };
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
    const unsubscribe = options.present?.subscribe(() => group.creditChanged(consumer));
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
      unsubscribe?.();
      this.#consumers.delete(consumer);
    }
  }

  /** For each given topic that is queued in the group: the number of topics ahead of it. */
  countBefore(name: string, topics: readonly LiteTopicName[]): ReadonlyMap<LiteTopicName, QueuePlace> {
    checkCountedTopics(topics);
    return this.#groups.get(name)?.group.countBefore(topics) ?? new Map<LiteTopicName, QueuePlace>();
  }

  countWaiting(groups: readonly string[], flow?: string): readonly WaitingCounts[] {
    if (this.#closed) throw new BrokerError('closed', 'the broker was closed');
    checkCountedGroups(groups);
    return groups.map((name) => this.#groups.get(name)?.group.countWaiting(flow) ?? NOTHING_WAITS);
  }

  setPaused(paused: Paused): Paused {
    if (this.#closed) throw new BrokerError('closed', 'the broker was closed');
    checkPaused(paused);
    return this.#gates.setPaused(paused);
  }

  /** Called after an append has become visible, even an empty one, which may have changed the priority. */
  onAppended(topic: LiteTopicName): void {
    // Groups that had no consumer in this process run are passed over: when the first consumer of such a group comes,
    // `#markPending` reads all topics of the group that have records to consume.
    for (const known of this.#groups.values())
      if (known.opened !== undefined && matches(known, topic)) known.group.mark(topic);
  }

  /** Called after a topic has expired or was removed. */
  onRemoved(topic: LiteTopicName): void {
    for (const { group } of this.#groups.values()) group.drop(topic);
  }

  /** Whether a known group has records of this topic to consume. Such a topic does not expire. */
  hasLag(topic: LiteTopicName): boolean {
    const head = this.#store.head(topic);
    if (head === undefined) return false;
    for (const known of this.#groups.values()) {
      if (matches(known, topic) && this.#store.committed(known.group.name, topic, head.epoch) < head.next) return true;
    }
    return false;
  }

  /** Ends the consumers without an error and voids their leases. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const [consumer, group] of this.#consumers) group.leave(consumer);
    for (const { group } of this.#groups.values()) group.close();
    this.#gates.close();
  }

  async #open(name: string, pattern: TopicPattern): Promise<ConsumerGroup> {
    if (this.#closed) throw new BrokerError('closed', 'the broker was closed');
    const known = this.#groups.get(name) ?? this.#add(name, pattern);
    if (known.group.pattern !== pattern) throw new BrokerError('invalid-config', 'the group has another pattern');
    known.opened ??= this.#markPending(known);
    try {
      await known.opened;
    } catch (error) {
      // The next consumer tries again. Until then only this process run knows the group.
      known.opened = undefined;
      throw error;
    }
    return known.group;
  }

  #add(name: string, pattern: TopicPattern): KnownGroup {
    if (this.#groups.size >= GROUPS_MAX) throw new BrokerError('overloaded', `at most ${GROUPS_MAX} groups`);
    const known = {
      group: new ConsumerGroup(name, pattern, this.#store, this.#options),
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

/** Checks the cheap prefix first, because most appends are to topics that no group consumes. */
function matches({ group, prefix }: KnownGroup, topic: LiteTopicName): boolean {
  return topic.startsWith(prefix) && matchesPattern(group.pattern, topic);
}
