// What is said of the engine in memory beyond the contract.
import { expect, onTestFinished, test } from 'vitest';
import { parseLiteTopicName, parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { openBroker, randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const CHAT = parseLiteTopicName('chat/one');
const TOUCH = { topic: CHAT, records: [], expect: { create: true }, ttlMs: 60_000 } as const;

test('a wall clock that jumps ends no topic and keeps none', async () => {
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

test('any number of topics, groups and tails wait on a handful of timers, and none is left after a close', async () => {
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

test('it says that nothing survives the process', async () => {
  const broker = await openBroker({ engine: 'memory' });
  onTestFinished(() => broker.close());
  expect(broker.health()).toEqual({ state: 'ready', durability: 'memory: nothing survives the process' });
});

test('epochs fit a position and do not repeat', () => {
  const epochs = Array.from({ length: 1000 }, randomEpoch);
  expect(new Set(epochs).size).toBe(1000);
  for (const epoch of epochs) expect(epoch).toMatch(/^[a-z0-9]{10}$/);
});
