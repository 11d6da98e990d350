// A full device accepts what ends, removes and expires, within a bound, and everything else only once the reserve is
// whole again.
import { rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { append, CHAT, infoOf, major, minor, outcome, QUEUE, readLines, topicName } from '../contract/subject.ts';
import { TestWorker } from '../contract/worker.ts';
import { eventually } from '../../support/wait-for.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, RESERVE_BYTES, RESERVE_STEP_BYTES } from './opened-log.ts';

const OTHER = topicName('chat/other');
const SHORT = topicName('chat/short');
/** Less than any batch. */
const NO_ROOM = 10;
const RELIEF = { mayUseReserve: true } as const;

async function reserveSize(folder: string): Promise<number> {
  return (await stat(join(folder, 'reserve'))).size;
}

test('a full log stops and ends runs, acknowledges, removes and expires, refuses everything else, and heals by itself', async () => {
  const files = new FaultyFiles();
  const { broker, clock, reopen, fatal } = await openLog({ files });
  const { epoch } = await append(broker, CHAT, major('start'), { takeFence: true });
  const expired = await append(broker, SHORT, minor('x'), { ttlMs: 60_000 });
  await append(broker, OTHER, minor('x'));
  await append(broker, QUEUE, major('one', 'two'));
  const worker = new TestWorker(broker);
  const delivery = await worker.next();
  files.room = NO_ROOM;
  expect(await outcome(append(broker, CHAT, minor('more')))).toBe('disk-full');
  expect(await append(broker, CHAT, major('stop'), { expect: { epoch }, ...RELIEF })).toEqual({
    epoch,
    first: 1,
    next: 2,
  });
  expect(
    await append(broker, CHAT, major('end'), { expect: { epoch }, fence: { fence: 0, seq: 1 }, ...RELIEF }),
  ).toEqual({ epoch, first: 2, next: 3 });
  expect(await delivery.ack()).toBe(true);
  expect((await worker.next()).record.data).toBe('two');
  expect(await broker.remove(OTHER)).toBe(true);
  await clock.advance(61_000);
  await eventually(async () => (await broker.read(SHORT, { epoch: expired.epoch, offset: 0 })).kind === 'reset');
  expect(broker.health().state).toBe('full');
  expect(await outcome(append(broker, CHAT, minor('more')))).toBe('disk-full');
  files.room = Number.POSITIVE_INFINITY;
  expect(await outcome(append(broker, CHAT, minor('after')))).toBe('accepted');
  expect(broker.health().state).toBe('ready');
  expect(await readLines(await reopen(), CHAT)).toEqual(['0M:start', '1M:stop', '2M:end', '3m:after']);
  expect(fatal).toEqual([]);
});

test('an end succeeds when it shares its batch with refused appends', async () => {
  const files = new FaultyFiles();
  const { broker } = await openLog({ files });
  await append(broker, CHAT, major('start'));
  files.room = NO_ROOM;
  const codes = [
    append(broker, OTHER, minor('x')),
    append(broker, CHAT, major('end'), RELIEF),
    append(broker, OTHER, minor('y')),
    broker.remove(CHAT),
  ].map(outcome);
  expect(await Promise.all(codes)).toEqual(['disk-full', 'accepted', 'disk-full', 'accepted']);
  expect(await broker.describe([CHAT, OTHER])).toEqual([undefined, undefined]);
});

test('the reserve is a bound, and a log that has used it up heals as well', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  await append(broker, CHAT, major('start'));
  files.room = 0;
  let accepted = 0;
  while ((await outcome(append(broker, CHAT, major('x'.repeat(400)), RELIEF))) === 'accepted') accepted += 1;
  expect(accepted).toBeGreaterThan((RESERVE_BYTES - RESERVE_STEP_BYTES) / 600);
  expect(accepted).toBeLessThan(RESERVE_BYTES / 400);
  expect(await reserveSize(folder)).toBe(0);
  files.room = Number.POSITIVE_INFINITY;
  expect(await outcome(append(broker, CHAT, minor('after')))).toBe('accepted');
  expect(await reserveSize(folder)).toBe(RESERVE_BYTES);
});

test('freed room goes to the reserve first, and to nothing else before the reserve is whole', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  await append(broker, CHAT, major('start'));
  files.room = 0;
  expect(await outcome(append(broker, CHAT, major('end'), RELIEF))).toBe('accepted');
  const used = RESERVE_BYTES - (await reserveSize(folder));
  expect(used).toBe(RESERVE_STEP_BYTES);
  // Enough for the append, but not for the reserve.
  files.room = used - 100;
  expect(await outcome(append(broker, OTHER, minor('x')))).toBe('disk-full');
  expect(await reserveSize(folder)).toBe(RESERVE_BYTES - 100);
  expect(await outcome(append(broker, CHAT, major('another end'), RELIEF))).toBe('accepted');
  files.room = Number.POSITIVE_INFINITY;
  expect(await outcome(append(broker, OTHER, minor('x')))).toBe('accepted');
});

test('removing the chats that fill a log frees room without a restart and without a wait', async () => {
  const files = new FaultyFiles();
  const { broker } = await openLog({ files });
  for (let i = 0; i < 8; i++) await append(broker, CHAT, major('x'.repeat(1000)));
  files.room = NO_ROOM;
  expect(await outcome(append(broker, OTHER, minor('x')))).toBe('disk-full');
  expect(await broker.remove(CHAT)).toBe(true);
  await eventually(async () => (await outcome(append(broker, OTHER, minor('x')))) === 'accepted');
  expect(files.count('unlink 0000000000000001.seg')).toBe(1);
  expect(await readLines(broker, OTHER)).toEqual(['0m:x']);
});

test('a crash while the reserve is in use loses nothing, and the next process run is as full', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  const { epoch } = await append(broker, CHAT, major('start'));
  await append(broker, OTHER, minor('x'));
  files.room = 0;
  await append(broker, CHAT, major('end'), RELIEF);
  await broker.remove(OTHER);
  const later = new FaultyFiles();
  later.room = 0;
  const { broker: next } = await openLog({ folder: await crashCopy(folder), files: later });
  expect(next.health().state).toBe('full');
  expect(await infoOf(next, CHAT)).toMatchObject({ epoch, next: 2 });
  expect(await next.describe([OTHER])).toEqual([undefined]);
  expect(await outcome(append(next, CHAT, minor('more')))).toBe('disk-full');
  expect(await outcome(append(next, CHAT, major('again'), RELIEF))).toBe('accepted');
  later.room = Number.POSITIVE_INFINITY;
  expect(await outcome(append(next, CHAT, minor('after')))).toBe('accepted');
  expect(await readLines(next, CHAT)).toEqual(['0M:start', '1M:end', '2M:again', '3m:after']);
});

test('an append does not touch the reserve while there is room, also in a later process run, and other users may not read it', async () => {
  const files = new FaultyFiles();
  const { broker, folder, reopen } = await openLog({ files });
  expect((await stat(join(folder, 'reserve'))).mode & 0o777).toBe(0o600);
  expect(await reserveSize(folder)).toBe(RESERVE_BYTES);
  const before = files.trace.length;
  await append(broker, CHAT, minor('a'));
  await append(broker, CHAT, major('b'), RELIEF);
  await broker.remove(CHAT);
  await reopen();
  expect(files.trace.slice(before).filter((line) => line.includes('reserve'))).toEqual(['open:write reserve']);
});

test('a folder from before there was a reserve can be opened and read on a full device, and heals', async () => {
  const files = new FaultyFiles();
  const { broker, folder, reopen } = await openLog({ files });
  await append(broker, CHAT, minor('a'));
  await broker.close();
  await rm(join(folder, 'reserve'));
  files.room = 0;
  const full = await reopen();
  expect(await readLines(full, CHAT)).toEqual(['0m:a']);
  expect(full.health().state).toBe('full');
  expect(await outcome(append(full, CHAT, minor('b')))).toBe('disk-full');
  expect(await outcome(append(full, CHAT, minor('b'), RELIEF))).toBe('disk-full');
  files.room = Number.POSITIVE_INFINITY;
  expect(await outcome(append(full, CHAT, minor('b')))).toBe('accepted');
  expect(await reserveSize(folder)).toBe(RESERVE_BYTES);
});

test('the name of a new reserve is on the device before the log is opened', async () => {
  const files = new FaultyFiles();
  const { folder } = await openLog({ files });
  const made = files.trace.indexOf('open:create reserve');
  expect(files.trace.slice(made)).toContain(`syncFolder ${basename(folder)}`);
});

test('an append that may use half of the reserve leaves the other half to ends and removals', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  await append(broker, CHAT, major('start'));
  files.room = 0;
  let accepted = 0;
  while ((await outcome(append(broker, OTHER, major('x'.repeat(400)), { mayUseReserve: 'half' }))) === 'accepted')
    accepted += 1;
  expect(accepted).toBeGreaterThan(0);
  expect(await reserveSize(folder)).toBeGreaterThanOrEqual(RESERVE_BYTES / 2);
  while ((await reserveSize(folder)) >= RESERVE_BYTES / 2)
    expect(await outcome(append(broker, CHAT, major('x'.repeat(400)), RELIEF))).toBe('accepted');
  // Nor may it use the room that an end freed.
  expect(await outcome(append(broker, OTHER, major('x'), { mayUseReserve: 'half' }))).toBe('disk-full');
  expect(await broker.remove(OTHER)).toBe(true);
});

test('a log without appends reports that it is ready again when its health is requested and there is room', async () => {
  const files = new FaultyFiles();
  const { broker, clock, folder } = await openLog({ files });
  await append(broker, CHAT, major('start'));
  files.room = 0;
  expect(await outcome(append(broker, CHAT, major('end'), RELIEF))).toBe('accepted');
  expect(broker.health().state).toBe('full');
  files.room = Number.POSITIVE_INFINITY;
  // Not within a second of the previous check.
  expect(broker.health().state).toBe('full');
  await clock.advance(1_000);
  await eventually(async () => broker.health().state === 'ready');
  expect(await reserveSize(folder)).toBe(RESERVE_BYTES);
});
