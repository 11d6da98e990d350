// Chats that move from one master of a Redis Cluster to another while they stream: clients see only passing 503s. Three
// masters that flush every write, three gateways, two workers, nginx, and clients of both wires.
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { slotOf } from '../../src/broker/redis/connection/route.ts';
import { PARTITIONS_DEFAULT, PREFIX_DEFAULT, RedisKeys } from '../../src/broker/redis/keys.ts';
import { DEFAULT_TENANT, ownRef } from '../../src/session/session-ref.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ClusterRig } from '../support/cluster-rig.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { timeLimit } from '../support/slowness.ts';
import { playOnCluster } from './cluster-story.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(60_000) });

const SESSIONS = 3;
const MOVES = 6;

let rig: ClusterRig<RedisCluster>;
beforeAll(async () => {
  rig = await ClusterRig.start(await RedisCluster.start(3, { appendfsync: 'always' }));
});
afterAll(async () => {
  await rig.close();
});

/** The slot of everything of a chat: its log, its requests, its entry in the queue. */
function slotOfChat(sessionId: string): number {
  const keys = new RedisKeys(PREFIX_DEFAULT, PARTITIONS_DEFAULT);
  return slotOf(keys.tag(keys.partitionOf(chatTopic(ownRef({ tenant: DEFAULT_TENANT, user: 'you' }, sessionId)))));
}

it('a chat that moves to another master in the middle of an answer › continues there without a reset', async () => {
  const slots = Array.from({ length: SESSIONS }, (_, i) => slotOfChat(`moves-${i + 1}`));
  // While one chat is moved, events of the others trigger the next move.
  expect(new Set(slots).size).toBe(SESSIONS);
  await playOnCluster(rig, { name: 'moves', sessions: SESSIONS }, async (story) => {
    for (let move = 0; move < MOVES; move += 1) {
      await story.spareTheHit();
      await story.moment();
      story.hit('a slot moves');
      await rig.store.move(slots[move % SESSIONS] ?? 0, () => story.moment());
    }
  });
});
