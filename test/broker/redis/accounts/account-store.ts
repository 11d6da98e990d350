// A store whose nodes count accounts, and what its partitions and its homes say.
import type { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../../../src/broker/broker.ts';
import { RECOUNT } from '../../../../src/broker/redis/accounts/count-scripts.ts';
import type { RedisCommands, RedisReply, RedisScript } from '../../../../src/broker/redis/connection/redis-commands.ts';
import type { RedisBrokerOptions } from '../../../../src/broker/redis/open-redis-broker.ts';
import { ACCOUNT_KEYS, META } from '../../../../src/broker/redis/keys.ts';
import type { LiteTopicName } from '../../../../src/broker/lite-topic.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import type { RedisServer } from '../../../support/redis-server.ts';
import { TcpProxy } from '../../../support/tcp-proxy.ts';
import { accountOf } from '../../contract/quota.ts';
import { RedisStore } from '../redis-store.ts';

export interface Held {
  readonly topics: number;
  readonly bytes: number;
}

export class AccountStore {
  readonly store: RedisStore;
  readonly clock = new ManualClock();
  readonly raw: Redis;

  constructor(server: RedisServer) {
    this.store = new RedisStore(server);
    this.raw = this.store.raw();
  }

  node(options: Partial<RedisBrokerOptions> = {}): Promise<BrokerEngine> {
    return this.store.open({ clock: this.clock, clockDecides: true, accountOf, ...options });
  }

  /** A node that counts no topic that it makes, as a node of an earlier version. */
  earlierNode(): Promise<BrokerEngine> {
    return this.store.open({ clock: this.clock, clockDecides: true });
  }

  /** A node behind a proxy. */
  async distantNode(): Promise<{ readonly broker: BrokerEngine; readonly proxy: TcpProxy }> {
    const proxy = await TcpProxy.start(this.store.server.port);
    onTestFinished(() => proxy.close());
    return { proxy, broker: await this.node({ nodes: [`redis://127.0.0.1:${proxy.port}`] }) };
  }

  /** The sum of the partitions' figures, without what is not settled. */
  async figures(account: string): Promise<Held> {
    const all = await Promise.all(this.#tags().map((tag) => this.raw.hget(tag + ACCOUNT_KEYS.figures, account)));
    const parts = all.map((text) => (text ?? '0 0 0').split(' ').map(Number));
    const sum = (at: number): number => parts.reduce((total, figures) => total + (figures[at] ?? 0), 0);
    return { topics: sum(0), bytes: sum(1) };
  }

  /** Then the topic's end changes no figures, as by a node of an earlier version. */
  async forgetCounted(topic: LiteTopicName): Promise<void> {
    await this.raw.hdel(this.store.key('meta', topic), META.counted);
  }

  /** One slice of a recount in each partition. Returns whether one is under way. */
  async recountSlice(topics: number): Promise<boolean> {
    const states = await Promise.all(
      this.#tags().map((tag) => this.raw.eval(RECOUNT.lua, 1, tag, String(this.clock.now()), topics, 0)),
    );
    return states.some((state) => (state as readonly string[])[0] === '1');
  }

  /** Tickets of writes that may be under way. */
  tickets(account: string): Promise<number> {
    return this.raw.zcard(this.store.keys.tag(this.store.keys.homeOf(account)) + ACCOUNT_KEYS.tickets + account);
  }

  async loseHome(account: string): Promise<void> {
    const tag = this.store.keys.tag(this.store.keys.homeOf(account));
    await this.raw.del(`${tag}${ACCOUNT_KEYS.home}${account}`, `${tag}${ACCOUNT_KEYS.tickets}${account}`);
  }

  /** Takes the partition of a topic back to what it is now. Returns the function that does it. */
  async remember(topic: LiteTopicName): Promise<() => Promise<void>> {
    const keys = (): Promise<string[]> => this.raw.keys(`${this.store.keys.tag(this.store.keys.partitionOf(topic))}:*`);
    const before = await Promise.all((await keys()).map(async (key) => [key, await this.raw.dumpBuffer(key)] as const));
    return async () => {
      await this.raw.del(await keys());
      for (const [key, value] of before) await this.raw.restore(key, 0, value);
    };
  }

  /** Calls scripts by a connection of its own. `fail`: is called before each and may throw. */
  commands(fail: (script: RedisScript, place: number) => void): RedisCommands {
    const { keys } = this.store;
    return {
      keys,
      clock: this.clock,
      run: async (script, place, args) => {
        fail(script, place);
        const reply = await this.raw.eval(script.lua, 1, keys.tag(place), String(this.clock.now()), ...args);
        return reply as RedisReply;
      },
      subscribe: () => {
        throw new Error('no subscriptions');
      },
    };
  }

  #tags(): string[] {
    return Array.from({ length: this.store.keys.partitions }, (_, n) => this.store.keys.tag(n));
  }
}
