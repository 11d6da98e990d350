// The Redis master is lost while chats stream, with `replicated:1`: the sentinels make a replica the master, and every
// node finds it. Acknowledged records are at the same offsets of another epoch, clients of both wires receive a reset,
// and every prompt gets its whole answer. In one test the master dies; in the other it only hangs, is replaced, and
// comes back as if it were still the master.
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ClusterRig } from '../support/cluster-rig.ts';
import { ReplicatedRedis } from '../support/replicated-redis.ts';
import { timeLimit } from '../support/slowness.ts';
import { playOnCluster } from './cluster-story.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(60_000) });

const MOMENTS = 3;

let rig: ClusterRig<ReplicatedRedis>;
beforeAll(async () => {
  rig = await ClusterRig.start(await ReplicatedRedis.start(), { HOLDLINE_PROMISE: 'replicated:1' });
});
afterAll(async () => {
  await rig.close();
});

it('a master lost in the middle of answers › takes no acknowledged record with it', async () => {
  const { store } = rig;
  const { neverReset } = await playOnCluster(rig, { name: 'lost-master', sessions: 3 }, async (story) => {
    await story.everyoneReads();
    await story.moment();
    const lost = store.master;
    story.hit('kill -9 master', { changesEpoch: true });
    await lost.kill();
    await store.failedOver();
    for (let i = 0; i < MOMENTS; i += 1) await story.moment();
    await lost.restart();
    await store.whole();
  });
  expect(neverReset).toEqual([]);
});

it('a master that hangs and comes back after its replacement › acknowledges nothing', async () => {
  const { store } = rig;
  const { neverReset } = await playOnCluster(rig, { name: 'old-master', sessions: 3 }, async (story) => {
    await story.everyoneReads();
    await story.moment();
    const old = store.master;
    story.hit('SIGSTOP master', { changesEpoch: true });
    old.freeze();
    await store.failedOver();
    old.thaw();
    for (let i = 0; i < MOMENTS; i += 1) await story.moment();
    await store.whole();
  });
  expect(neverReset).toEqual([]);
});
