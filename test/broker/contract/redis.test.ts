// The engine on Redis keeps the broker's contract, on a real server and on a real cluster. One of each serves the whole
// file; every subject has keys of its own.
import { afterAll, beforeAll, describe } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { openRedisBroker, type RedisBrokerOptions } from '../../../src/broker/redis/open-redis-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RedisCluster } from '../../support/redis-cluster.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { brokerContract } from './broker-contract.ts';
import type { Subject } from './broker-contract.ts';
import { brokerModel } from './broker-model.ts';
import { deliveryModel } from './delivery-model.ts';
import { flowOf, policyOf } from './fair.ts';
import { accountOf } from './quota.ts';

/** Few partitions, so that a test that checks all of them is quick, and enough to keep topics apart. */
const PARTITIONS = 4;

let subjects = 0;

async function openRedis(where: Pick<RedisBrokerOptions, 'nodes' | 'cluster'>): Promise<Subject> {
  const clock = new ManualClock();
  const prefix = `contract-${(subjects += 1)}`;
  const open = (): Promise<BrokerEngine> =>
    openRedisBroker({
      ...where,
      clock,
      prefix,
      promise: 'memory',
      partitions: PARTITIONS,
      clockDecides: true,
      newEpoch: randomEpoch,
      flowOf,
      policyOf,
      accountOf,
      onError: (error) => {
        throw error;
      },
    });
  let broker = await open();
  return {
    broker,
    clock,
    reopen: async () => {
      await broker.close();
      broker = await open();
      return broker;
    },
  };
}

describe('on one server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.close());
  const open = (): Promise<Subject> => openRedis({ nodes: [server.url] });
  brokerContract('redis', open, { reopens: true });
  brokerModel('redis', open, { reopens: true });
  deliveryModel('redis', open, { reopens: true });
});

describe('on three masters', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  });
  afterAll(() => cluster.close());
  const open = (): Promise<Subject> => openRedis({ nodes: cluster.urls, cluster: true });
  brokerContract('redis cluster', open, { reopens: true });
  brokerModel('redis cluster', open, { reopens: true });
  deliveryModel('redis cluster', open, { reopens: true });
});
