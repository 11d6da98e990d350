// One group's queue in Redis, partition by partition: runs the scripts (queue-scripts.ts) and decodes their replies.
import type { LogRecord, Priority } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import { GROUPS_MAX } from '../../group/consume-options.ts';
import { PRIORITIES } from '../../group/ready-list.ts';
import { parseLiteTopicName } from '../../lite-topic.ts';
import type { LiteTopicName, TopicPattern } from '../../lite-topic.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import type { RedisCommands, RedisReply, RedisScript } from '../connection/redis-commands.ts';
import { listOf, numberOf } from '../connection/redis-reply.ts';
import type { Drained, Waiting } from '../schedule/group-schedule.ts';
import { ACK, DRAIN, EXTEND, LEASE, NACK, OPEN_GROUP } from './queue-scripts.ts';

/** A lease that this node requests. */
export interface Wanted {
  readonly topic: LiteTopicName;
  readonly token: string;
  readonly visibilityMs: number;
}

export interface Taken {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** The first offset that is not consumed. */
  readonly offset: number;
  readonly attempt: number;
  readonly priority: Priority;
  readonly token: string;
  /** The record at `offset`. Undefined: a hole is there, or the record must be read. */
  readonly record: LogRecord | undefined;
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
  async open(partition: number): Promise<void> {
    for (;;) {
      const [kind, detail, message] = await this.#run(OPEN_GROUP, partition, [this.pattern, GROUPS_MAX]);
      if (kind === 'refused')
        throw new BrokerError(detail === 'overloaded' ? 'overloaded' : 'invalid-config', String(message));
      // Each call examines more names, so the loop ends.
      if (kind !== 'more') return;
    }
  }

  /** What came to wait since the cursor `from`; '' is the start. A partition that does not know the group has lost it,
   *  or is new. Then this opens the group there. */
  async drain(partition: number, from: string): Promise<Drained> {
    let reply = await drain(this.#commands, this.name, partition, from);
    if (reply === undefined) {
      await this.open(partition);
      reply = await drain(this.#commands, this.name, partition, from);
    }
    if (reply === undefined) throw new BrokerError('unavailable', 'the group was lost again at once');
    return reply;
  }

  /** Leases those of the topics that wait, all of one partition; undefined for the others. */
  async lease(
    partition: number,
    wanted: readonly Wanted[],
  ): Promise<{ readonly taken: readonly (Taken | undefined)[]; readonly dueIn: number | undefined }> {
    const args = wanted.flatMap(({ topic, token, visibilityMs }) => [topic, token, visibilityMs]);
    const [kind, due, ...leases] = await this.#run(LEASE, partition, args);
    if (kind === 'unknown') return { taken: wanted.map(() => undefined), dueIn: 0 };
    return { taken: wanted.map((one, i) => takenOf(one, leases[i])), dueIn: dueOf(due) };
  }

  /** Marks the topic as consumed up to `next` and ends the lease; with `keep`, the lease continues if more records
   *  follow. */
  async ack(
    partition: number,
    { topic, token, epoch }: Taken,
    next: number,
    keep: boolean,
  ): Promise<{ readonly outcome: 'done' | 'kept' | 'lost'; readonly isWaiting: boolean }> {
    const [outcome, waits] = await this.#run(ACK, partition, [topic, token, epoch, next, keep ? '1' : '']);
    if (outcome !== 'done' && outcome !== 'kept' && outcome !== 'lost') throw wrongReply('queue');
    return { outcome, isWaiting: waits === 1 };
  }

  /** `count`: whether this counts as an attempt. `held`: how many leases were still held and have been given back. */
  async nack(
    partition: number,
    taken: readonly Taken[],
    { delayMs, count }: { readonly delayMs: number; readonly count: boolean },
  ): Promise<{ readonly held: number; readonly dueIn: number | undefined }> {
    const leases = taken.flatMap(({ topic, token }) => [topic, token]);
    const [held, due] = await this.#run(NACK, partition, [delayMs, count ? '' : '1', ...leases]);
    return { held: numberOf(held), dueIn: dueOf(due) };
  }

  /** False: the lease was lost. */
  async extend(partition: number, { topic, token }: Taken, visibilityMs: number): Promise<boolean> {
    const [held] = await this.#run(EXTEND, partition, [topic, token, visibilityMs]);
    return held === 1;
  }

  async #run(
    script: RedisScript,
    partition: number,
    args: readonly (string | number)[],
  ): Promise<readonly RedisReply[]> {
    return listOf(await this.#commands.run(script, partition, [this.name, ...args]));
  }
}

/** Undefined: the partition does not know the group. @throws what `run` throws */
export async function drain(
  commands: RedisCommands,
  group: string,
  partition: number,
  from: string,
): Promise<Drained | undefined> {
  const [kind, due, to, more, ...rest] = listOf(await commands.run(DRAIN, partition, [group, from]));
  if (kind === 'unknown') return undefined;
  if (typeof to !== 'string') throw wrongReply('queue');
  const waiting = Array.from({ length: rest.length / 3 }, (_, i): Waiting => ({
    topic: parseLiteTopicName(String(rest[3 * i])),
    priority: priorityOf(rest[3 * i + 1]),
    turn: String(rest[3 * i + 2]),
  }));
  return { from, to, waiting, more: more === 1, dueIn: dueOf(due) };
}

function takenOf({ topic, token }: Wanted, reply: RedisReply | undefined): Taken | undefined {
  if (reply === 0) return undefined;
  const [epoch, offset, attempt, priority, kind, data] = listOf(reply);
  return {
    topic,
    token,
    epoch: String(epoch),
    offset: numberOf(offset),
    attempt: numberOf(attempt),
    priority: priorityOf(priority),
    record:
      typeof data === 'string' ? { kind: 'record', offset: numberOf(offset), major: kind === 'M', data } : undefined,
  };
}

function dueOf(reply: RedisReply | undefined): number | undefined {
  const due = numberOf(reply);
  return due < 0 ? undefined : due;
}

function priorityOf(reply: RedisReply | undefined): Priority {
  const priority = PRIORITIES.find((one) => one === reply);
  if (priority === undefined) throw wrongReply('queue');
  return priority;
}
