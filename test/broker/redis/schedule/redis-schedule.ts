// The schedule of one group on a real Redis, with a clock of the test, and without partitions.
import type { Redis } from 'ioredis';
import type { FlowOf, Priority } from '../../../../src/broker/broker.ts';
import type { FlowPolicyOf } from '../../../../src/broker/flow-policy.ts';
import type { LiteTopicName } from '../../../../src/broker/lite-topic.ts';
import type { RedisReply } from '../../../../src/broker/redis/connection/redis-commands.ts';
import { RedisKeys } from '../../../../src/broker/redis/keys.ts';
import { GroupSchedule } from '../../../../src/broker/redis/schedule/group-schedule.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

/** Longer than a test takes. */
const LEASE_MS = 1_000_000_000;
let stores = 0;

interface Rules {
  readonly flowOf: FlowOf;
  readonly policyOf: FlowPolicyOf;
}

export class RedisSchedule {
  readonly clock: ManualClock;
  readonly keys: RedisKeys;
  readonly schedule: GroupSchedule;
  readonly tickets = new Map<LiteTopicName, string>();
  /** What was charged of topics that are held. */
  readonly used = new Map<LiteTopicName, number>();
  readonly #redis: Redis;
  readonly #rules: Rules;
  #cursor = '';
  #turn = 0;

  constructor(
    redis: Redis,
    rules: Rules,
    { group = 'g', beside }: { readonly group?: string; readonly beside?: RedisSchedule } = {},
  ) {
    this.#redis = redis;
    this.#rules = rules;
    this.clock = beside?.clock ?? new ManualClock();
    this.keys = beside?.keys ?? new RedisKeys(`schedule-${(stores += 1)}`, 1);
    const { keys, clock } = this;
    const run = (script: { readonly lua: string }, place: number, args: readonly (string | number)[]) =>
      redis.eval(script.lua, 1, keys.tag(place), clock.now(), ...args) as Promise<RedisReply>;
    const commands = { clock, keys, run, subscribe: () => ({ close: () => undefined }) };
    this.schedule = new GroupSchedule(commands, group, rules);
  }

  /** The schedule of another group in the same store. */
  group(name: string): RedisSchedule {
    return new RedisSchedule(this.#redis, this.#rules, { group: name, beside: this });
  }

  async add(topic: LiteTopicName, priority: Priority = 'normal'): Promise<void> {
    const to = `era ${(this.#turn += 1)} 0 0`;
    const waiting = [{ topic, priority, turn: String(this.#turn) }];
    const drained = { from: this.#cursor, to, waiting, more: false, dueIn: undefined };
    const { entries } = await this.schedule.step(0, [{ partition: 0, drained }]);
    if (entries[0]?.cursor !== to) throw new Error('another one has entered the partition');
    this.#cursor = to;
  }

  async take(): Promise<LiteTopicName | undefined> {
    return (await this.takeSome(1))[0];
  }

  /** In one step. */
  async takeSome(count: number): Promise<readonly LiteTopicName[]> {
    const { picked } = await this.schedule.step(count, []);
    for (const { topic, ticket } of picked) {
      this.tickets.set(topic, ticket);
      this.schedule.leased(ticket, LEASE_MS);
    }
    return picked.map(({ topic }) => topic);
  }

  async charge(topic: LiteTopicName, tokens: number): Promise<void> {
    this.used.set(topic, tokens);
    this.schedule.leased(this.tickets.get(topic) ?? '', LEASE_MS, tokens);
    await this.schedule.step(0, []);
  }

  async settle(topic: LiteTopicName, how: 'served' | 'unused' = 'served', tokens?: number): Promise<void> {
    this.schedule.settle(this.tickets.get(topic) ?? '', how, tokens);
    this.tickets.delete(topic);
    this.used.delete(topic);
    await this.schedule.step(0, []);
  }
}
