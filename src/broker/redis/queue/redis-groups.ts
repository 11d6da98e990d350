// Group consumption over Redis: the groups that this node consumes in, and the messages about their queues. The queues
// are in Redis (queue-lua.ts, schedule-lua.ts); one group on this node is in redis-group.ts.
import { randomUUID } from 'node:crypto';
import type { ConsumeOptions, Delivery, GroupBroker, WaitingCounts } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { LetterBroker } from '../../dead-letters.ts';
import {
  GROUPS_MAX,
  checkConsume,
  checkCountedGroups,
  checkCountedTopics,
  checkPaused,
} from '../../group/consume-options.ts';
import type { Paused, QueuePlace } from '../../flow-policy.ts';
import type { LiteTopicName, TopicPattern } from '../../lite-topic.ts';
import type { ChannelSubscription, RedisCommands } from '../connection/redis-commands.ts';
import { drain, GroupQueue } from './group-queue.ts';
import { PAUSE } from '../schedule/pause-script.ts';
import { WAITING } from '../schedule/schedule-scripts.ts';
import { listOf, numberOf } from '../connection/redis-reply.ts';
import { GroupSchedule, type FlowRules } from '../schedule/group-schedule.ts';
import { parseView } from './queue-view.ts';
import { RedisGroup } from './redis-group.ts';

/** A count enters what waits in a group at most once in this time. */
const ENTERED_MS = 1000;

/** The last time that a count entered what waits in a group. */
interface Entered {
  /** Monotonic: when it began. */
  readonly at: number;
  /** While it is under way. */
  work: Promise<void> | undefined;
}

interface KnownGroup {
  readonly pattern: TopicPattern;
  readonly group: RedisGroup;
  readonly opened: Promise<void>;
}

export class RedisGroups implements GroupBroker {
  readonly #commands: RedisCommands;
  readonly #broker: LetterBroker;
  readonly #flows: FlowRules;
  readonly #onError: (error: unknown) => void;
  /** Part of every lease's token, so that no lease of an earlier process run counts in this one. */
  readonly #node = randomUUID();
  readonly #groups = new Map<string, KnownGroup>();
  /** By group. At most GROUPS_MAX. */
  readonly #entered = new Map<string, Entered>();
  #channels: readonly ChannelSubscription[] | undefined;
  #closing: Promise<void> | undefined;

  constructor({
    commands,
    broker,
    flows,
    onError,
  }: {
    readonly commands: RedisCommands;
    readonly broker: LetterBroker;
    readonly flows: FlowRules;
    /** Called with errors of work that no caller awaits. */
    readonly onError: (error: unknown) => void;
  }) {
    this.#commands = commands;
    this.#broker = broker;
    this.#flows = flows;
    this.#onError = onError;
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

  async countBefore(name: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>> {
    checkCountedTopics(topics);
    const schedule = new GroupSchedule(this.#commands, name, this.#flows);
    await this.#enter(name, schedule);
    return schedule.places(topics);
  }

  async countWaiting(names: readonly string[], flow = ''): Promise<readonly WaitingCounts[]> {
    checkCountedGroups(names);
    const { counts, known } = await this.#waiting(names, flow);
    const entering = known.flatMap((name) => this.#enterLately(name) ?? []);
    if (entering.length === 0) return counts;
    await Promise.all(entering);
    return (await this.#waiting(names, flow)).counts;
  }

  /** Undefined: what waits was entered within ENTERED_MS. Counts that come at the same time share the work. */
  #enterLately(name: string): Promise<void> | undefined {
    const now = this.#commands.clock.mono();
    const last = this.#entered.get(name);
    if (last !== undefined && (last.work !== undefined || now < last.at + ENTERED_MS)) return last.work;
    const entered: Entered = { at: now, work: undefined };
    entered.work = this.#enter(name, new GroupSchedule(this.#commands, name, this.#flows)).finally(
      () => (entered.work = undefined),
    );
    this.#entered.set(name, entered);
    return entered.work;
  }

  async #waiting(
    names: readonly string[],
    flow: string,
  ): Promise<{ readonly counts: readonly WaitingCounts[]; readonly known: readonly string[] }> {
    const { keys } = this.#commands;
    const reply = listOf(await this.#commands.run(WAITING, keys.schedules, [flow, ...names])).map(numberOf);
    return {
      counts: names.map((_, i) => {
        const [high = 0, normal = 0, low = 0] = reply.slice(4 * i);
        return { high, normal, low };
      }),
      known: names.filter((_, i) => reply[4 * i + 3] === 1),
    };
  }

  async setPaused(paused: Paused): Promise<Paused> {
    checkPaused(paused);
    const { keys } = this.#commands;
    const reply = await this.#commands.run(PAUSE, keys.schedules, ['', paused.version, ...paused.names]);
    const [version, ...names] = reply as readonly string[];
    return { names, version: Number(version) };
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
    const queue = new GroupQueue(this.#commands, name, pattern);
    const schedule = new GroupSchedule(this.#commands, name, this.#flows);
    const parts = { queue, schedule, broker: this.#broker, clock, keys, node: this.#node, onError: this.#onError };
    const group = new RedisGroup(parts);
    const known = { pattern, group, opened: group.open() };
    this.#groups.set(name, known);
    return known;
  }

  /** Enters what came to wait, because nodes whose consumers are all busy do not. A partition that does not know the
   *  group has nothing to enter. */
  async #enter(name: string, schedule: GroupSchedule): Promise<void> {
    const { keys } = this.#commands;
    const { cursors } = await schedule.step(0, [], { wantsCursors: true });
    const partitions = Array.from({ length: keys.partitions }, async (_, partition) => {
      const drained = await drain(this.#commands, name, partition, cursors.get(partition) ?? '');
      return drained === undefined || drained.to === drained.from ? [] : { partition, drained };
    });
    const batches = (await Promise.all(partitions)).flat();
    if (batches.length > 0) await schedule.step(0, batches);
  }

  #listen(): readonly ChannelSubscription[] {
    const { keys } = this.#commands;
    return Array.from({ length: keys.partitions + 1 }, (_, place) =>
      this.#commands.subscribe(place, keys.wakeChannel(place), {
        message: (payload) => this.#received(place, payload.toString()),
        subscribed: () => {
          for (const { group } of this.#groups.values()) {
            if (place === keys.schedules) group.opens(0);
            else group.missed(place);
          }
        },
      }),
    );
  }

  /** Ignores messages of another form, which another version may publish: messages are hints, and the periodic check
   *  finds the same state. */
  #received(place: number, text: string): void {
    const [kind, group = '', topic, token] = text.split(' ');
    if (kind === 'gate' && Number(topic) >= 0) this.#groups.get(group)?.group.opens(Number(topic));
    if (kind === 'lost' && topic !== undefined) this.#groups.get(group)?.group.ended(topic as LiteTopicName, token);
    if (kind !== 'view' && kind !== 'due') return;
    const published = parseView(text.slice(kind.length + 1));
    if (published !== undefined) this.#groups.get(published.group)?.group.notified(place, published.view);
  }
}
