// The engine in memory beyond the contract.
import { expect, onTestFinished, test, vi } from 'vitest';
import { SLICE_LIMITS, TurnSlice } from '../../../src/base/turn-slice.ts';
import { parseLiteTopicName, parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { openBroker, randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const CHAT = parseLiteTopicName('chat/one');
const TOUCH = { topic: CHAT, records: [], expect: { create: true }, ttlMs: 60_000 } as const;

test('the memory broker ends topics on time when the wall clock jumps', async () => {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: randomEpoch });
  onTestFinished(() => broker.close());
  await broker.append([TOUCH]);
  clock.jumpWall(3_600_000);
  await clock.advance(59_999);
  expect((await broker.describe([CHAT]))[0]).toBeDefined();
  clock.jumpWall(-7_200_000);
  await clock.advance(1);
  expect((await broker.describe([CHAT]))[0]).toBeUndefined();
});

test('the memory broker lists thousands of topics, and finds them for a group, in slices', async () => {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: randomEpoch });
  onTestFinished(() => broker.close());
  const topics = Array.from({ length: 3 * SLICE_LIMITS.sliceItems }, (_, i) => parseLiteTopicName(`request/x/${i}`));
  const records = [{ major: true, data: 'r' }];
  for (const topic of topics) await broker.append([{ ...TOUCH, topic, records }]);
  const slices = vi.spyOn(TurnSlice.prototype, 'next');
  onTestFinished(() => slices.mockRestore());
  const page = await broker.list(parseTopicPattern('request/*/*'), { limit: 2 });
  expect([page.topics.map(({ topic }) => topic), page.after]).toEqual([['request/x/0', 'request/x/1'], 'request/x/1']);
  expect(slices.mock.calls.length).toBe(3);
  const stop = new AbortController();
  const options = { credit: 1, visibilityMs: 60_000, signal: stop.signal };
  for await (const delivery of broker.consume('workers', parseTopicPattern('request/*/*'), options)) {
    expect(topics).toContain(delivery.topic);
    stop.abort();
  }
  expect(slices.mock.calls.length).toBe(6);
});

test('the memory broker needs two timers for any number of topics, groups and tails, and none after a close', async () => {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: randomEpoch });
  for (let i = 0; i < 1000; i += 1)
    await broker.append([
      { ...TOUCH, topic: parseLiteTopicName(`request/x/${i}`), records: [{ major: true, data: 'r' }] },
    ]);
  const signal = new AbortController().signal;
  const deliveries = broker
    .consume('g', parseTopicPattern('request/*/*'), { credit: 100, visibilityMs: 1000, signal })
    [Symbol.asyncIterator]();
  for (let i = 0; i < 100; i += 1) await deliveries.next();
  expect(clock.timers).toBeLessThanOrEqual(2);
  await broker.close();
  expect(clock.timers).toBe(0);
});

test('the memory broker reports that nothing survives the process', async () => {
  const broker = await openBroker({ engine: 'memory' });
  onTestFinished(() => broker.close());
  expect(broker.health()).toEqual({ state: 'ready', durability: 'memory: nothing survives the process' });
});

test('randomEpoch returns epochs that fit a position and do not repeat', () => {
  const epochs = Array.from({ length: 1000 }, randomEpoch);
  expect(new Set(epochs).size).toBe(1000);
  for (const epoch of epochs) expect(epoch).toMatch(/^[a-z0-9]{10}$/);
});
