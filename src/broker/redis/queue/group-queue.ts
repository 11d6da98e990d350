// One group's queue in Redis, partition by partition: runs the scripts (queue-scripts.ts) and decodes their replies.
import type { Priority } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import { GROUPS_MAX } from '../../group/consume-options.ts';
import { PRIORITIES } from '../../group/ready-list.ts';
import { parseLiteTopicName } from '../../lite-topic.ts';
import type { LiteTopicName, TopicPattern } from '../../lite-topic.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import type { RedisCommands, RedisReply, RedisScript } from '../connection/redis-commands.ts';
import { ACK, EXTEND, NACK, OPEN_GROUP, TAKE } from './queue-scripts.ts';
import { parseView } from './queue-view.ts';
import type { QueueView } from './queue-view.ts';

export interface Taken {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** The first offset that is not consumed. */
  readonly offset: number;
  readonly attempt: number;
  readonly priority: Priority;
  readonly token: string;
}

export class GroupQueue {
  readonly name: string;
  readonly pattern: TopicPattern;
  readonly #commands: RedisCommands;

  constructor(commands: RedisCommands, name: string, pattern: TopicPattern) {
    this.#commands = commands;
    this.name = name;
    this.pattern = pattern;
  }

  /** @throws BrokerError invalid-config, overloaded: the group was refused. Every method throws what `run` throws. */
  async open(partition: number): Promise<QueueView> {
    for (;;) {
      const reply = await this.#run(OPEN_GROUP, partition, [this.pattern, GROUPS_MAX]);
      const [kind, detail, message] = reply;
      if (kind === 'refused')
        throw new BrokerError(detail === 'overloaded' ? 'overloaded' : 'invalid-config', String(message));
      // Each call examines more names, so the loop ends.
      if (kind !== 'more') return viewOf(detail);
    }
  }

  async look(partition: number): Promise<QueueView> {
    return (await this.#take(partition, ['', '', 0])).view;
  }

  take(
    partition: number,
    priority: Priority,
    token: string,
    visibilityMs: number,
  ): Promise<{ readonly view: QueueView; readonly taken?: Taken }> {
    return this.#take(partition, [priority, token, visibilityMs]);
  }

  /** Marks the topic as consumed up to `next` and ends the lease; with `keep`, the lease continues if more records
   *  follow. */
  async ack(
    partition: number,
    { topic, token, epoch }: Taken,
    next: number,
    keep: boolean,
  ): Promise<{ readonly outcome: 'done' | 'kept' | 'lost'; readonly view: QueueView }> {
    const [outcome, view] = await this.#run(ACK, partition, [topic, token, epoch, next, keep ? '1' : '']);
    if (outcome !== 'done' && outcome !== 'kept' && outcome !== 'lost') throw wrongReply('queue');
    return { outcome, view: viewOf(view) };
  }

  /** `count`: whether this counts as an attempt. `held`: how many leases were still held and have been given back. */
  async nack(
    partition: number,
    taken: readonly Taken[],
    { delayMs, count }: { readonly delayMs: number; readonly count: boolean },
  ): Promise<{ readonly held: number; readonly view: QueueView }> {
    const leases = taken.flatMap(({ topic, token }) => [topic, token]);
    const [held, view] = await this.#run(NACK, partition, [delayMs, count ? '' : '1', ...leases]);
    return { held: numberOf(held), view: viewOf(view) };
  }

  /** False: the lease was lost. */
  async extend(partition: number, { topic, token }: Taken, visibilityMs: number): Promise<boolean> {
    const [held] = await this.#run(EXTEND, partition, [topic, token, visibilityMs]);
    return held === 1;
  }

  /** A partition that does not know the group has lost it, or is new. Then this opens the group there, and the next
   *  call can take. */
  async #take(
    partition: number,
    [priority, token, visibilityMs]: readonly [string, string, number],
  ): Promise<{ readonly view: QueueView; readonly taken?: Taken }> {
    const [kind, view, topic, epoch, offset, attempt, given] = await this.#run(TAKE, partition, [
      priority,
      token,
      visibilityMs,
    ]);
    if (kind === 'unknown') return { view: await this.open(partition) };
    if (kind !== 'taken') return { view: viewOf(view) };
    const taken = {
      topic: parseLiteTopicName(String(topic)),
      epoch: String(epoch),
      offset: numberOf(offset),
      attempt: numberOf(attempt),
      priority: priorityOf(given),
      token,
    };
    return { view: viewOf(view), taken };
  }

  async #run(
    script: RedisScript,
    partition: number,
    args: readonly (string | number)[],
  ): Promise<readonly RedisReply[]> {
    const reply = await this.#commands.run(script, partition, [this.name, ...args]);
    if (!Array.isArray(reply)) throw wrongReply('queue');
    return reply as readonly RedisReply[];
  }
}

function viewOf(reply: RedisReply | undefined): QueueView {
  const parsed = typeof reply === 'string' ? parseView(reply) : undefined;
  if (parsed === undefined) throw wrongReply('queue');
  return parsed.view;
}

function numberOf(reply: RedisReply | undefined): number {
  if (typeof reply !== 'number') throw wrongReply('queue');
  return reply;
}

function priorityOf(reply: RedisReply | undefined): Priority {
  const priority = PRIORITIES.find((one) => one === reply);
  if (priority === undefined) throw wrongReply('queue');
  return priority;
}
