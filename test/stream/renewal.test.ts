// A chat with a viewer does not expire, at any time of the viewer's arrival and with any clock on the viewer's node.
import { expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { TOUCH_SWEEP_MS } from '../../src/stream/keep-alive.ts';
import { TopicHub } from '../../src/stream/topic-hub.ts';
import type { LiveTopicListener } from '../../src/stream/live-topic.ts';
import { CHAT } from '../broker/contract/subject.ts';
import { ManualClock } from '../support/manual-clock.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const TTL_MS = 60_000;
const VIEWER: LiveTopicListener = {
  onBatch: () => undefined,
  onEnd: () => undefined,
  onQueue: () => undefined,
  onExpiring: () => undefined,
};

async function watched(behindMs: number, joinsAfterMs: number) {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const nodeClock = { now: () => clock.now() - behindMs, mono: () => clock.mono(), after: clock.after.bind(clock) };
  const hub = new TopicHub({ broker, clock: nodeClock, onError: (error) => expect.unreachable(String(error)) });
  onTestFinished(async () => {
    hub.close();
    await broker.close();
  });
  await broker.append([
    { topic: CHAT, records: [{ major: true, data: 'hello' }], expect: { create: true }, ttlMs: TTL_MS },
  ]);
  await clock.advance(joinsAfterMs);
  const live = (await hub.open(CHAT)) ?? expect.unreachable();
  live.add(VIEWER);
  await clock.advance(10 * TTL_MS);
  return broker.describe([CHAT]);
}

it.each([
  ['has the time of the storage', 0, 0],
  ['is 40 days behind', 40 * DAY_MS, 0],
  ['is 40 days ahead', -40 * DAY_MS, 0],
  ['gets its viewer shortly before the chat expires', 0, TTL_MS - TOUCH_SWEEP_MS - 1000],
])('KeepAlive keeps a watched chat when the node %s', async (_what, behindMs, joinsAfterMs) => {
  expect(await watched(behindMs, joinsAfterMs)).toMatchObject([{ topic: CHAT, epoch: 'e' }]);
});
