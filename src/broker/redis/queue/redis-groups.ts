// Group consumption over Redis: the groups that this node consumes in, and the messages about their queues. The queues
// are in Redis (queue-lua.ts); one group on this node is in redis-group.ts. Also counts the topics before a given topic
// in a queue, with one call to each partition. The calls run at different moments, so the sum is a hint.
import { randomUUID } from 'node:crypto';
import type { Broker, ConsumeOptions, Delivery, GroupBroker } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import { GROUPS_MAX, checkConsume, checkCountedTopics } from '../../group/consume-options.ts';
import type { LiteTopicName, TopicPattern } from '../../lite-topic.ts';
import type { ChannelSubscription, RedisCommands, RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { GroupQueue } from './group-queue.ts';
import { COUNT_BEFORE, POSITIONS } from './queue-scripts.ts';
import { parseView } from './queue-view.ts';
import { RedisGroup } from './redis-group.ts';

interface WaitingTopic {
  readonly topic: LiteTopicName;
  readonly class: string;
  readonly turn: string;
}

interface KnownGroup {
  readonly pattern: TopicPattern;
  readonly group: RedisGroup;
  readonly opened: Promise<void>;
}

export class RedisGroups implements GroupBroker {
  readonly #commands: RedisCommands;
  readonly #read: Broker['read'];
  /** Part of every lease's token, so that no lease of an earlier process run counts in this one. */
  readonly #node = randomUUID();
  readonly #groups = new Map<string, KnownGroup>();
  #channels: readonly ChannelSubscription[] | undefined;
  #closing: Promise<void> | undefined;

  constructor({ commands, read }: { readonly commands: RedisCommands; readonly read: Broker['read'] }) {
    this.#commands = commands;
    this.#read = read;
  }

  async *consume(
    name: string,
    pattern: TopicPattern,
    options: ConsumeOptions,
  ): AsyncGenerator<Delivery, void, undefined> {
    checkConsume(name, options);
    const group = await this.#open(name, pattern);
    const consumer = group.join(options);
    const leave = (): void => group.leave(consumer);
    options.signal.addEventListener('abort', leave, { once: true });
    try {
      while (!options.signal.aborted) {
        const delivery = await group.next(consumer);
        if (delivery === undefined) return;
        yield delivery;
      }
    } finally {
      options.signal.removeEventListener('abort', leave);
      leave();
    }
  }

  async countBefore(name: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, number>> {
    checkCountedTopics(topics);
    return countBefore(this.#commands, name, topics);
  }

  /** This node has removed the topic. Other nodes receive a message. */
  ended(topic: LiteTopicName): void {
    for (const { group } of this.#groups.values()) group.ended(topic);
  }

  /** Ends the consumers quietly and voids their leases, here at once and in Redis when it resolves. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const channel of this.#channels ?? []) channel.close();
    await Promise.all([...this.#groups.values()].map(({ group }) => group.close()));
  }

  async #open(name: string, pattern: TopicPattern): Promise<RedisGroup> {
    if (this.#closing !== undefined) throw new BrokerError('closed', 'the broker was closed');
    const known = this.#groups.get(name) ?? this.#add(name, pattern);
    if (known.pattern !== pattern) throw new BrokerError('invalid-config', 'the group has another pattern');
    try {
      await known.opened;
    } catch (error) {
      // The next consumer tries again.
      if (this.#groups.get(name) === known) this.#groups.delete(name);
      throw error;
    }
    return known.group;
  }

  #add(name: string, pattern: TopicPattern): KnownGroup {
    if (this.#groups.size >= GROUPS_MAX) throw new BrokerError('overloaded', `at most ${GROUPS_MAX} groups`);
    // Subscribes before the group is opened: topics that come to wait after the reply must be published to this node.
    this.#channels ??= this.#listen();
    const { clock, keys } = this.#commands;
    const group = new RedisGroup(new GroupQueue(this.#commands, name, pattern), this.#read, {
      clock,
      node: this.#node,
      partitions: keys.partitions,
    });
    const known = { pattern, group, opened: group.open() };
    this.#groups.set(name, known);
    return known;
  }

  #listen(): readonly ChannelSubscription[] {
    const { keys } = this.#commands;
    return Array.from({ length: keys.partitions }, (_, partition) =>
      this.#commands.subscribe(partition, keys.wakeChannel(partition), {
        message: (payload) => this.#received(partition, payload.toString()),
        subscribed: () => {
          for (const { group } of this.#groups.values()) group.missed(partition);
        },
      }),
    );
  }

  /** Ignores messages of another form, which another version may publish: messages are hints, and the periodic check
   *  finds the same state. */
  #received(partition: number, text: string): void {
    const [kind, group = '', topic, token] = text.split(' ');
    if (kind === 'lost' && topic !== undefined) this.#groups.get(group)?.group.ended(topic as LiteTopicName, token);
    if (kind !== 'view') return;
    const published = parseView(text.slice('view '.length));
    if (published !== undefined) this.#groups.get(published.group)?.group.notified(partition, published.view);
  }
}

/** For each given topic that is queued: the number of topics before it. @throws what `run` throws */
async function countBefore(
  commands: RedisCommands,
  group: string,
  topics: readonly LiteTopicName[],
): Promise<ReadonlyMap<LiteTopicName, number>> {
  const waiting = await findWaiting(commands, group, topics);
  const counts = new Map(waiting.map(({ topic }) => [topic, 0]));
  if (waiting.length === 0) return counts;
  const asked = waiting.flatMap((topic) => [topic.class, topic.turn]);
  const partitions = Array.from({ length: commands.keys.partitions }, (_, partition) =>
    ask(commands, COUNT_BEFORE, partition, [group, ...asked]),
  );
  for (const reply of await Promise.all(partitions)) {
    for (const [i, { topic }] of waiting.entries()) counts.set(topic, (counts.get(topic) ?? 0) + Number(reply[i]));
  }
  return counts;
}

async function findWaiting(
  commands: RedisCommands,
  group: string,
  topics: readonly LiteTopicName[],
): Promise<readonly WaitingTopic[]> {
  const found = [...commands.keys.byPartition(topics)].map(async ([partition, there]) => {
    const reply = await ask(commands, POSITIONS, partition, [group, ...there]);
    return there.map((topic, i): WaitingTopic => ({
      topic,
      class: String(reply[2 * i]),
      turn: String(reply[2 * i + 1]),
    }));
  });
  return (await Promise.all(found)).flat().filter((topic) => topic.class !== '');
}

async function ask(
  ...[commands, script, partition, args]: [RedisCommands, ...Parameters<RedisCommands['run']>]
): Promise<readonly RedisReply[]> {
  const reply = await commands.run(script, partition, args);
  if (!Array.isArray(reply)) throw wrongReply('queue');
  return reply as readonly RedisReply[];
}
