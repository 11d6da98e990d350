// The three engines for tests of the layers above, each on new storage and with a clock that the test moves.
import { parseTopicPattern, type LiteTopicName } from '../../src/broker/lite-topic.ts';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { randomEpoch } from '../../src/broker/open-broker.ts';
import { openLog } from '../broker/log/opened-log.ts';
import { RedisStore } from '../broker/redis/redis-store.ts';
import { ManualClock } from './manual-clock.ts';
import type { RedisServer } from './redis-server.ts';

export interface TestEngine {
  readonly broker: BrokerEngine;
  readonly clock: ManualClock;
}

export type OpenEngine = (redis: RedisServer) => Promise<TestEngine>;

export const ENGINES: readonly (readonly [name: string, open: OpenEngine])[] = [
  [
    'memory',
    () => {
      const clock = new ManualClock();
      return Promise.resolve({ clock, broker: new MemoryBroker({ clock, newEpoch: randomEpoch }) });
    },
  ],
  ['log', () => openLog()],
  [
    'redis',
    async (redis) => {
      const clock = new ManualClock();
      return { clock, broker: await new RedisStore(redis).open({ clock, clockDecides: true }) };
    },
  ],
];

/** The names of all topics of the engine that have that first segment. A name has two to four segments. */
export async function allTopics(broker: BrokerEngine, parent = '*'): Promise<readonly LiteTopicName[]> {
  const names: LiteTopicName[] = [];
  for (const pattern of [`${parent}/*`, `${parent}/*/*`, `${parent}/*/*/*`]) {
    for (let after: LiteTopicName | undefined; ;) {
      const page = { limit: 1000, ...(after === undefined ? {} : { after }) };
      const { topics, after: next } = await broker.list(parseTopicPattern(pattern), page);
      names.push(...topics.map(({ topic }) => topic));
      if (next === undefined) break;
      after = next;
    }
  }
  return names;
}
