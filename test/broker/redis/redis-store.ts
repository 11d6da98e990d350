// A store on a real Redis for tests of this engine: several nodes, and access to the keys to read and damage them.
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { RedisKeys, TOPIC_KEYS } from '../../../src/broker/redis/keys.ts';
import { openRedisBroker, type RedisBrokerOptions } from '../../../src/broker/redis/open-redis-broker.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { RedisServer } from '../../support/redis-server.ts';

const PARTITIONS = 4;
let stores = 0;

export class RedisStore {
  readonly server: RedisServer;
  readonly prefix = `store-${(stores += 1)}`;
  readonly keys = new RedisKeys(this.prefix, PARTITIONS);

  constructor(server: RedisServer) {
    this.server = server;
  }

  /** Opens a node, which is closed at the end of the test. */
  async open(options: Partial<RedisBrokerOptions> = {}): Promise<BrokerEngine> {
    const broker = await openRedisBroker({
      nodes: [this.server.url],
      promise: 'memory',
      partitions: PARTITIONS,
      prefix: this.prefix,
      clock: systemClock,
      newEpoch: randomEpoch,
      // The tests see errors of the storage in the results of their calls.
      onError: () => undefined,
      ...options,
    });
    onTestFinished(() => broker.close());
    return broker;
  }

  /** A separate connection, to read and damage keys. */
  raw(): Redis {
    const redis = new Redis(this.server.url);
    onTestFinished(() => redis.disconnect());
    return redis;
  }

  key(kind: keyof typeof TOPIC_KEYS, topic: LiteTopicName): string {
    return this.keys.tag(this.keys.partitionOf(topic)) + TOPIC_KEYS[kind] + topic;
  }

  historyKey(topic: LiteTopicName): string {
    return `${this.keys.tag(this.keys.partitionOf(topic))}:life`;
  }
}
