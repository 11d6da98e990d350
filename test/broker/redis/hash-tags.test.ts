// All keys of a partition have its hash tag, so the append script runs on whichever node has the partition. The test
// also plants a key without the tag, to show that the check finds it.
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { APPEND } from '../../../src/broker/redis/commands/append.ts';
import { encodeAppend } from '../../../src/broker/redis/commands/append-call.ts';
import { RedisKeys, TOPIC_KEYS } from '../../../src/broker/redis/keys.ts';
import { minor, topicName, write } from '../contract/subject.ts';
import { RedisCluster } from '../../support/redis-cluster.ts';

const PARTITIONS = 16;

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start();
});
afterAll(() => cluster.close());

/** The answer of every partition's master to an append by this script: 'accepted', or its error. */
async function outcomes(lua: string, prefix: string): Promise<string[]> {
  const keys = new RedisKeys(prefix, PARTITIONS);
  const nodes = cluster.urls.map((url) => new Redis(url));
  onTestFinished(() => {
    for (const node of nodes) node.disconnect();
  });
  const told: string[] = [];
  for (let i = 0; told.length < 48; i += 1) {
    const topic = topicName(`chat/t${i}`);
    const args = [
      '',
      ...encodeAppend([write(topic, minor('text'))], { isKept: true, newEpoch: () => 'e', accountOf: () => 'acme' }),
    ];
    for (const node of nodes) {
      const outcome = await node.eval(lua, 1, keys.tag(keys.partitionOf(topic)), ...args).then(
        () => 'accepted',
        (error: unknown) => String(error),
      );
      if (!outcome.includes('MOVED')) told.push(outcome);
    }
  }
  return told;
}

test('every key of an append has the tag of its partition', async () => {
  expect(new Set(await outcomes(APPEND.lua, 'tagged'))).toEqual(new Set(['accepted']));
});

test('a key without the tag is refused by a cluster', async () => {
  const planted = APPEND.lua.replaceAll(`part .. '${TOPIC_KEYS.minors}'`, `'${TOPIC_KEYS.minors}'`);
  expect(planted).not.toBe(APPEND.lua);
  expect((await outcomes(planted, 'untagged')).filter((outcome) => outcome !== 'accepted')).not.toEqual([]);
});
