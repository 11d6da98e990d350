// A store on a real Redis for tests of groups, with one clock for all its nodes.
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../../../src/broker/broker.ts';
import { randomEpoch } from '../../../../src/broker/open-broker.ts';
import type { RedisReply, RedisScript } from '../../../../src/broker/redis/connection/redis-commands.ts';
import { RedisKeys } from '../../../../src/broker/redis/keys.ts';
import { openRedisBroker } from '../../../../src/broker/redis/open-redis-broker.ts';
import { RedisGroups } from '../../../../src/broker/redis/queue/redis-groups.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import type { RedisServer } from '../../../support/redis-server.ts';
import { TcpProxy } from '../../../support/tcp-proxy.ts';
import { flowOf, policyOf } from '../../contract/fair.ts';

const PARTITIONS = 4;
let stores = 0;

const fail = (error: unknown): void => {
  throw error;
};

export class GroupStore {
  readonly server: RedisServer;
  readonly clock = new ManualClock();
  readonly prefix = `groups-${(stores += 1)}`;
  readonly partitions: number;

  constructor(server: RedisServer, partitions = PARTITIONS) {
    this.server = server;
    this.partitions = partitions;
  }

  async node(url = this.server.url, onError = fail): Promise<BrokerEngine> {
    const { clock, prefix, partitions } = this;
    const broker = await openRedisBroker({
      clock,
      prefix,
      partitions,
      nodes: [url],
      promise: 'memory',
      clockDecides: true,
      newEpoch: randomEpoch,
      flowOf,
      policyOf,
      onError,
    });
    onTestFinished(() => broker.close());
    return broker;
  }

  /** A node behind a proxy. */
  async distantNode(): Promise<{ readonly broker: BrokerEngine; readonly proxy: TcpProxy }> {
    const proxy = await TcpProxy.start(this.server.port);
    onTestFinished(() => proxy.close());
    return { proxy, broker: await this.node(`redis://127.0.0.1:${proxy.port}`) };
  }

  /** The groups of a node that receives no published message. `after`: what each reply waits for. */
  deafGroups(
    broker: BrokerEngine,
    after: (script: RedisScript) => Promise<void> = () => Promise.resolve(),
  ): RedisGroups {
    const { clock } = this;
    const keys = new RedisKeys(this.prefix, this.partitions);
    const redis = new Redis(this.server.url);
    const groups = new RedisGroups({
      broker,
      flows: { flowOf, policyOf },
      onError: fail,
      commands: {
        clock,
        keys,
        run: async (script, place, args) => {
          const reply = await redis.eval(script.lua, 1, keys.tag(place), clock.now(), ...args);
          await after(script);
          return reply as RedisReply;
        },
        subscribe: () => ({ close: () => undefined }),
      },
    });
    onTestFinished(async () => {
      await groups.close();
      redis.disconnect();
    });
    return groups;
  }

  /** True when a node is subscribed to the channels of every partition and of the schedules. */
  async isHeard(): Promise<boolean> {
    const channels = await this.server.command(`PUBSUB SHARDCHANNELS {${this.prefix}:*:w`);
    return channels.split('\n').filter((line) => line !== '').length === this.partitions + 1;
  }
}
