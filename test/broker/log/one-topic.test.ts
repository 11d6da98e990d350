// A topic has one object in memory at a time, and only that object changes. A second object would end the same epoch
// again: the counts of the segments would say that other chats' records are gone, and the next checkpoint would delete
// the files that hold them.
import { expect, test } from 'vitest';
import type { BrokerEngine, TopicInfo } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import type { Clock, Timer } from '../../../src/base/clock.ts';
import { append, CHAT, isMissing, minor, readLines, topicName } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { FaultyFiles } from './faulty-files.ts';
import { openLog } from './opened-log.ts';

const MINUTE = 60_000;
/** Two of these records are in one segment. */
const LONG = 'x'.repeat(1900);
const SHORTER = 'x'.repeat(1500);
/** More than a segment: the next write goes to another one. */
const LONGER = 'x'.repeat(5000);
const OTHER = topicName('chat/other');
/** More topics than stay in memory, so that describing the last one removes the first. */
const CROWD = Array.from({ length: 20 }, (_, i) => topicName(`chat/crowd${i}`));

/** As in a busy process: the time comes, and the timers for it fire only later. */
class LateClock implements Clock {
  readonly #timers = new ManualClock();
  #late = 0;

  now(): number {
    return this.#timers.now() + this.#late;
  }

  mono(): number {
    return this.#timers.mono() + this.#late;
  }

  after(ms: number, callback: () => void): Timer {
    return this.#timers.after(ms, callback);
  }

  pass(ms: number): void {
    this.#late += ms;
  }
}

interface Opened {
  readonly broker: BrokerEngine;
  /** Another engine on the same folder, without a running checkpoint. */
  readonly reopen: () => Promise<BrokerEngine>;
  readonly clock: LateClock;
  readonly files: FaultyFiles;
  readonly fatal: readonly Error[];
}

async function openCold(): Promise<Opened> {
  const limits = {
    recentBytes: 0,
    idleTopicsMax: 2,
    dirtyTopicsMax: 1,
    checkpointBytes: 1,
    segmentBytes: 4096,
    openSegmentsMax: 2,
    sliceItems: 2,
  };
  const [clock, files] = [new LateClock(), new FaultyFiles()];
  const { broker, reopen, fatal } = await openLog({ clock, files, limits });
  return { broker, reopen, clock, files, fatal };
}

async function fill(broker: BrokerEngine): Promise<void> {
  for (const name of CROWD) await append(broker, name, minor('a'));
}

/** Describes the first name together with all the others. */
async function describeCrowd(broker: BrokerEngine, first: LiteTopicName): Promise<TopicInfo | undefined> {
  return (await broker.describe([first, ...CROWD]))[0];
}

test("two calls of describe at the time of a chat's end, among more chats than memory holds, remove no record of another chat", async () => {
  const { broker, clock, fatal } = await openCold();
  await append(broker, CHAT, minor(LONG), { ttlMs: MINUTE });
  await append(broker, OTHER, minor(SHORTER));
  await fill(broker);
  clock.pass(MINUTE);
  await Promise.all([describeCrowd(broker, CHAT), describeCrowd(broker, CHAT)]);
  expect(await isMissing(broker, CHAT)).toBe(true);
  await fill(broker);
  await fill(broker);
  expect(await readLines(broker, OTHER)).toEqual([`0m:${SHORTER}`]);
  expect(fatal).toEqual([]);
});

test('describe does not end a chat again that has just ended', async () => {
  const { broker: before, reopen, clock, files, fatal } = await openCold();
  await append(before, CHAT, minor(LONGER), { ttlMs: MINUTE });
  await fill(before);
  const broker = await reopen();
  clock.pass(MINUTE);
  expect(await describeCrowd(broker, CHAT)).toBeUndefined();
  files.hold('flush');
  const second = describeCrowd(broker, CHAT);
  // The checkpoint after the first end is durable: it has deleted the chat from the index.
  await eventually(() => files.count('unlink') === 1);
  files.release();
  expect(await second).toBeUndefined();
  await append(broker, OTHER, minor('b'));
  expect(fatal).toEqual([]);
});

test('the next epoch of a chat stays when it begins while the previous one is described at the time of its end', async () => {
  const { broker, reopen, clock, fatal } = await openCold();
  for (const name of [OTHER, CHAT]) await append(broker, name, minor('a'), { ttlMs: MINUTE });
  await fill(broker);
  clock.pass(MINUTE);
  // Both must end. A describe that waits for the end of the first still holds the object that it found for the second.
  const [, { epoch }] = await Promise.all([broker.describe([OTHER, CHAT, ...CROWD]), append(broker, CHAT, minor('b'))]);
  await fill(broker);
  const again = await reopen();
  expect(await again.read(CHAT, 'earliest')).toMatchObject({ kind: 'batch', epoch });
  expect(fatal).toEqual([]);
});
