// What grows with the number of topics goes in slices of a turn of the event loop: the image that a checkpoint takes,
// the log that a start replays, and the forgetting of tombstones. Everything else gets its turn in between.
import { expect, onTestFinished, test, vi } from 'vitest';
import { TurnSlice } from '../../../src/base/turn-slice.ts';
import { TOMBSTONE_MS, type BrokerEngine } from '../../../src/broker/broker.ts';
import { TopicTable } from '../../../src/broker/log/topics/topic-table.ts';
import { append, major, minor, readLines, topicName } from '../contract/subject.ts';
import { countTurns } from '../../support/count-turns.ts';
import { eventually } from '../../support/wait-for.ts';
import { crashCopy, openLog } from './opened-log.ts';

const NAMES = Array.from({ length: 30 }, (_, i) => topicName(`chat/t${i}`));

async function createAll(broker: BrokerEngine, ttlMs?: number): Promise<void> {
  await Promise.all(NAMES.map((name) => append(broker, name, minor('a'), ttlMs === undefined ? {} : { ttlMs })));
}

/** Walks that need another slice wait for `release`. */
function holdSlices(): { readonly held: () => number; readonly release: () => void } {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const spy = vi.spyOn(TurnSlice.prototype, 'next').mockImplementation(() => released);
  onTestFinished(() => {
    release();
    spy.mockRestore();
  });
  return { held: () => spy.mock.calls.length, release: () => release() };
}

test('no append is committed while a checkpoint captures, and the image is that of its position', async () => {
  const { broker, folder, clock } = await openLog({ limits: { sliceItems: 1, dirtyTopicsMax: NAMES.length } });
  const other = await openLog();
  const slices = holdSlices();
  await createAll(broker);
  await eventually(() => slices.held() === 1);
  let acknowledged = 0;
  const written = NAMES.map((name) => append(broker, name, major('b')).then(() => (acknowledged += 1)));
  // Meanwhile another engine acknowledges five appends, one after the other.
  for (const name of NAMES.slice(0, 5)) await append(other.broker, name, minor('x'));
  expect(acknowledged).toBe(0);
  slices.release();
  await Promise.all(written);
  const after = await openLog({ folder: await crashCopy(folder), clock });
  for (const name of NAMES) expect(await readLines(after.broker, name)).toEqual(['0m:a', '1M:b']);
});

test('a checkpoint captures as many topics in a turn as its time allows, because commits wait', async () => {
  const { broker } = await openLog({ limits: { sliceItems: 4, dirtyTopicsMax: NAMES.length } });
  const slices = holdSlices();
  await createAll(broker);
  let acknowledged = 0;
  for (const name of NAMES) void append(broker, name, major('b')).then(() => (acknowledged += 1));
  await eventually(() => acknowledged === NAMES.length);
  expect(slices.held()).toBe(0);
});

test('a topic that a checkpoint has yet to capture stays in memory', async () => {
  const limits = { sliceItems: 1, dirtyTopicsMax: NAMES.length, idleTopicsMax: 4 };
  const { broker, reopen } = await openLog();
  const idle = Array.from({ length: 20 }, (_, i) => topicName(`idle/t${i}`));
  for (const name of idle) await append(broker, name, minor('x'));
  const again = await reopen({ limits });
  const slices = holdSlices();
  await createAll(again);
  await eventually(() => slices.held() === 1);
  for (let round = 0; round < 3; round++) await again.describe(idle);
  expect((await again.describe(NAMES)).every((info) => info?.next === 1)).toBe(true);
});

test('a topic that changes while a checkpoint captures is in that checkpoint or in the next one', async () => {
  const limits = { sliceItems: 1, dirtyTopicsMax: NAMES.length };
  const { broker, reopen } = await openLog({ limits });
  await createAll(broker);
  for (let round = 0; round < 5; round++) await Promise.all(NAMES.map((name) => append(broker, name, minor('c'))));
  const again = await reopen();
  for (const name of NAMES) expect((await again.describe([name]))[0]?.next).toBe(6);
});

test('a start after a kill replays in slices', async () => {
  const { broker, folder, clock } = await openLog();
  await createAll(broker);
  const counted = countTurns();
  const appliedIn = new Set<number>();
  const spy = vi.spyOn(TopicTable.prototype, 'touch').mockImplementation(() => void appliedIn.add(counted.turns));
  onTestFinished(() => spy.mockRestore());
  await openLog({ folder: await crashCopy(folder), clock, limits: { sliceItems: 1 } });
  expect(appliedIn.size).toBe(NAMES.length);
});

test('tombstones are forgotten in slices', async () => {
  const { broker, clock, reopen } = await openLog();
  await createAll(broker, 1000);
  await clock.advance(1000);
  await expect.poll(async () => (await broker.describe(NAMES)).every((info) => info === undefined)).toBe(true);
  await reopen({ limits: { sliceItems: 1 } });
  const counted = countTurns();
  const forgottenIn = new Set<number>();
  const spy = vi.spyOn(TopicTable.prototype, 'touch').mockImplementation(() => void forgottenIn.add(counted.turns));
  onTestFinished(() => spy.mockRestore());
  await clock.advance(TOMBSTONE_MS);
  await eventually(() => spy.mock.calls.length >= NAMES.length);
  expect(forgottenIn.size).toBe(NAMES.length);
});
