// Topics without a reader end when their time comes, also when the index holds an earlier time: a write does not move
// the topic in the index.
import { expect, test, vi } from 'vitest';
import { TOMBSTONE_MS, type BrokerEngine } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { append, CHAT, CollectedTail, infoOf, major, minor, topicName } from '../contract/subject.ts';
import { TestWorker } from '../contract/worker.ts';
import { eventually, turn } from '../../support/wait-for.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog } from './opened-log.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const OTHER = topicName('chat/other');
const TTL = { ttlMs: 30 * DAY };

/** The topic ended an hour ago. If this read ended it only now, its tombstone would still be there. */
async function endedAnHourAgo(broker: BrokerEngine, epoch: string): Promise<boolean> {
  return (await broker.read(CHAT, { epoch, offset: 0 })).kind === 'missing';
}

test.each([
  ['before its first time comes', [2]],
  ['before each of its times comes', [2, 4]],
  ['not at all', []],
])('a topic ends by itself when its last TTL is over, reopened %s', async (_when, reopenedAt) => {
  const { broker, clock, reopen } = await openLog();
  const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: 3 * MINUTE });
  let engine = await reopen();
  for (let minute = 1; minute <= 5; minute += 1) {
    await clock.advance(MINUTE);
    if (minute === 2) await append(engine, CHAT, minor('b'));
    if (reopenedAt.includes(minute)) engine = await reopen();
    // Neither read nor describe the topic: both would check its time.
  }
  await clock.advance(TOMBSTONE_MS);
  await eventually(async () => endedAnHourAgo(engine, epoch));
});

test('a topic has the mode of its TTL, its birth and its hard maximum after a crash', async () => {
  const { broker, clock, folder } = await openLog();
  const { epoch } = await append(broker, CHAT, minor('a'), { ...TTL, ttlMode: 'absolute', hardMaxMs: 40 * DAY });
  await append(broker, OTHER, minor('a'), TTL);
  await append(broker, OTHER, [], { ...TTL, ttlMode: 'reader' });
  await append(broker, CHAT, minor('b'), { expect: { epoch } });
  const before = await broker.describe([CHAT, OTHER]);
  const { broker: again } = await openLog({ folder: await crashCopy(folder), clock });
  const after = await again.describe([CHAT, OTHER]);
  const lives = [before, after].map((infos) =>
    infos.map((info) => [info?.ttlMode, info?.ttlMs, info?.expiresAt, info?.endsAt]),
  );
  expect(lives[1]).toEqual(lives[0]);
  expect(lives[0]?.map(([mode]) => mode)).toEqual(['absolute', 'reader']);
});

test('the TTL of a topic counts from its last write after a crash, also if that write names no TTL', async () => {
  const { broker, folder, clock } = await openLog();
  await append(broker, CHAT, minor('a'), { ttlMs: HOUR });
  await clock.advance(MINUTE);
  await append(broker, CHAT, minor('b'));
  const before = await infoOf(broker, CHAT);
  const { broker: again } = await openLog({ folder: await crashCopy(folder), clock });
  expect(await infoOf(again, CHAT)).toMatchObject({ ttlMs: HOUR, expiresAt: before.expiresAt });
  expect(before.expiresAt).toBe(clock.now() + HOUR);
});

test('a start with a clock that is 40 days ahead ends no chat, and follows the clock once it is right', async () => {
  const { broker, clock, reopen } = await openLog();
  const { epoch } = await append(broker, CHAT, minor('a'), TTL);
  const made = clock.now();
  await broker.close();
  clock.jumpWall(40 * DAY);
  const wrong = await reopen();
  expect(await wrong.read(CHAT, 'earliest')).toMatchObject({ kind: 'batch', epoch });
  expect(wrong.health().notice).toMatch(/^the clock is 40 days ahead/);
  await append(wrong, OTHER, minor('a'), TTL);
  await clock.advance(DAY);
  await wrong.close();
  clock.jumpWall(-40 * DAY);
  const right = await reopen();
  expect(right.health().notice).toBeUndefined();
  const { topics } = await right.list(parseTopicPattern('chat/*'), { limit: 10 });
  expect(topics.map(({ topic, expiresAt }) => [topic, expiresAt])).toEqual([
    [CHAT, made + 30 * DAY],
    [OTHER, made + 30 * DAY],
  ]);
  await clock.advance(29 * DAY + TOMBSTONE_MS);
  await eventually(() => endedAnHourAgo(right, epoch));
});

test('a jump of the clock is followed when it lasts for three days, and topics that have expired by then end', async () => {
  const { broker, clock, reopen } = await openLog();
  const { epoch } = await append(broker, CHAT, minor('a'), TTL);
  await broker.close();
  await clock.advance(40 * DAY);
  const late = await reopen();
  await clock.advance(3 * DAY - HOUR);
  expect((await late.read(CHAT, 'earliest')).kind).toBe('batch');
  await clock.advance(HOUR + TOMBSTONE_MS);
  await eventually(() => endedAnHourAgo(late, epoch));
  expect(late.health().notice).toBeUndefined();
});

test('a jump of the clock is followed at once when an operator trusts the clock', async () => {
  const { broker, clock, reopen } = await openLog();
  await append(broker, CHAT, minor('a'), TTL);
  await broker.close();
  await clock.advance(40 * DAY);
  const late = await reopen({ isClockTrusted: true });
  expect(late.health().notice).toBeUndefined();
  await eventually(async () => (await late.read(CHAT, 'earliest')).kind === 'reset');
});

test('a clock that is set under a running engine ends nothing, and a long idle time is no jump', async () => {
  const { broker, clock, folder } = await openLog();
  await append(broker, CHAT, minor('a'), TTL);
  clock.jumpWall(40 * DAY);
  await clock.advance(HOUR);
  expect([(await broker.read(CHAT, 'earliest')).kind, broker.health().notice !== undefined]).toEqual(['batch', true]);
  clock.jumpWall(-40 * DAY);
  await clock.advance(HOUR);
  expect(broker.health().notice).toBeUndefined();
  await clock.advance(10 * DAY);
  // The engine records the time beside everything else.
  await eventually(async () => {
    const crashed = await openLog({ folder: await crashCopy(folder), clock });
    return crashed.broker.health().notice === undefined;
  });
});

test.each([
  ['is up', 0],
  ['comes a minute later', MINUTE],
])('a chat whose time %s ends by itself when a reader attaches during a sweep', async (_when, later) => {
  const { broker, clock, reopen } = await openLog({ limits: { sliceItems: 1 } });
  // Their names sort before the chat's.
  for (let i = 0; i < 30; i++) await append(broker, topicName(`chat/c${i}`), minor('a'), { ttlMs: HOUR });
  const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: HOUR });
  const before = await reopen();
  await clock.advance(later);
  if (later > 0) await append(before, CHAT, minor('b'));
  // Nothing is in memory now: only the index holds the times, and for the chat its first one.
  const engine = await reopen();
  const passed = clock.advance(HOUR - later);
  for (let i = 0; i < 10; i++) await turn();
  const tail = new CollectedTail(engine, CHAT, { epoch, offset: 0 });
  await passed;
  // The sweep checks one chat in each turn of the event loop.
  for (let i = 0; i < 40; i++) await turn();
  await clock.advance(later);
  expect(await tail.verdict()).toMatchObject({ reason: 'expired' });
});

test('a topic whose time is up stays when a record is on its way that a group has yet to consume', async () => {
  const files = new FaultyFiles();
  const { broker, clock } = await openLog({ files });
  const request = topicName('request/x/a');
  const worker = new TestWorker(broker);
  await append(broker, request, major('0'), { ttlMs: 60_000 });
  expect(await worker.done()).toBe(`${request} 0:0`);
  files.hold('flush');
  const written = [
    append(broker, request, major('1'), { ttlMs: 60_000 }),
    append(broker, request, [], { ttlMs: 1000 }),
  ];
  await clock.advance(1000);
  written.push(append(broker, request, major('2')));
  files.release();
  await Promise.all(written);
  expect([await worker.done(), await worker.done()]).toEqual([`${request} 1:1`, `${request} 2:2`]);
  await clock.advance(1000);
  await eventually(async () => (await broker.describe([request]))[0] === undefined);
});

test('a chat that is made between two slices of a sweep ends by itself when its time comes', async () => {
  const { broker, clock, reopen } = await openLog({ limits: { sliceItems: 1 } });
  for (let i = 0; i < 30; i++) await append(broker, topicName(`chat/c${i}`), minor('a'), { ttlMs: HOUR });
  await broker.close();
  await clock.advance(HOUR);
  const engine = await reopen();
  // The sweep of the start checks one chat in each turn of the event loop.
  const { epoch } = await append(engine, CHAT, minor('a'), { ttlMs: MINUTE });
  const tail = new CollectedTail(engine, CHAT, { epoch, offset: 0 });
  for (let i = 0; i < 40; i++) await turn();
  await clock.advance(MINUTE);
  await clock.advance(1000);
  expect(await tail.verdict()).toMatchObject({ reason: 'expired' });
});

test('a topic whose time is up ends by itself once none of its frames is on its way, and no timer polls until then', async () => {
  const files = new FaultyFiles();
  const { broker, clock } = await openLog({ files });
  const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: HOUR });
  const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
  await tail.reached(1);
  files.hold('flush');
  const written = append(broker, CHAT, [], { ttlMs: 1000 });
  const after = vi.spyOn(clock, 'after');
  await clock.advance(1000);
  expect(after.mock.calls.length).toBeLessThan(5);
  files.release();
  await written;
  await clock.advance(10);
  expect(await tail.verdict()).toMatchObject({ reason: 'expired' });
});

test('a topic whose time is up ends by itself soon after the write that would have moved its time was refused', async () => {
  const files = new FaultyFiles();
  const { broker, clock } = await openLog({ files });
  const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
  const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
  await tail.reached(1);
  await clock.advance(MINUTE - 1000);
  files.hold('write');
  const written = append(broker, CHAT, minor('b'), { ttlMs: HOUR });
  const refused = expect(written).rejects.toThrow('disk-full');
  await clock.advance(2000);
  files.room = 10;
  files.release();
  await refused;
  await clock.advance(1000);
  expect(await tail.verdict()).toMatchObject({ reason: 'expired' });
});
