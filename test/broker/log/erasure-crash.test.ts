// A crash at any step of an erasure: the next process run erases the text in the time that is left, and what lives in
// the same segment stays.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { timeLimit } from '../../support/slowness.ts';
import { turn } from '../../support/wait-for.ts';
import { CrashingDisk } from '../../worlds/crashing-disk.ts';
import { Random } from '../../worlds/random.ts';
import { append, CHAT, major, minor, readLines, topicName } from '../contract/subject.ts';

const SECRET = 'Xylophon-Quarz';
const KEPT = topicName('chat/kept');
const ERASE_WITHIN_MS = 10_000;
const LIMITS = {
  ...{ eraseWithinMs: ERASE_WITHIN_MS, commitIntervalMs: 0, recentBytes: 0, reserveBytes: 0 },
  reclaimBytesPerSecond: Infinity,
};
/** Small, because the disk takes real time for what the clock makes due. */
const STEP_MS = 20;
/** How long the disk may take for the last step when the time is used up, in ms, before the test fails. */
const LAST_WAIT_MS = timeLimit(4_000);
/** Operations of the disk from the removal of the chat to the crash: an erasure takes about ten. */
const CRASHES_AT = Array.from({ length: 13 }, (_, i) => 1 + i);

/** The log's files that hold the text. */
async function filesWithSecret(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(join(folder, 'log'))) {
    const bytes = await readFile(join(folder, 'log', name)).catch(() => Buffer.alloc(0));
    if (bytes.includes(SECRET)) found.push(name);
  }
  return found;
}

/** Lets time pass until the text is gone, the disk has crashed, or the time is over at `end`. */
async function passUntil(clock: ManualClock, folder: string, end: number, hasCrashed: () => boolean): Promise<void> {
  while (clock.now() < end && !hasCrashed()) {
    if ((await filesWithSecret(folder)).length === 0) return;
    await clock.advance(Math.min(STEP_MS, end - clock.now()));
    await turn();
  }
}

async function crashAt(kind: 'kill' | 'power', operations: number): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'holdline-erasure-'));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const folder = join(home, 'data');
  let hasCrashed = false;
  const disk = new CrashingDisk(new Random(operations), join(home, 'trash'), () => (hasCrashed = true));
  const clock = new ManualClock();
  const open = (): Promise<BrokerEngine> =>
    openLogBroker({
      ...{ folder, fsync: { mode: 'always' }, clock, newEpoch: randomEpoch, place: 'here', bootId: 'boot' },
      ...{ files: disk.newLife(), limits: LIMITS, onFatal: () => undefined },
    });
  const first = await open();
  await append(first, KEPT, major('kept before'));
  await append(first, CHAT, [...major(`the ${SECRET} question`), ...minor(`a ${SECRET}`)]);
  await append(first, KEPT, major('kept after'));
  await first.remove(CHAT);
  const end = clock.now() + ERASE_WITHIN_MS - 1;
  disk.arm(kind, operations);
  // Nothing is due before half of the time.
  await clock.advance(ERASE_WITHIN_MS / 2 - STEP_MS);
  await passUntil(clock, folder, end, () => hasCrashed);
  disk.die();
  await first.close().catch(() => undefined);
  await disk.closeFiles();
  if (kind === 'power') await disk.powerCut();
  const second = await open();
  await passUntil(clock, folder, end, () => false);
  const overAt = performance.now() + LAST_WAIT_MS;
  while ((await filesWithSecret(folder)).length > 0 && performance.now() < overAt) await clock.advance(0);
  expect([kind, operations, await filesWithSecret(folder)]).toEqual([kind, operations, []]);
  expect(await readLines(second, KEPT)).toEqual(['0M:kept before', '1M:kept after']);
  await second.close();
}

describe('a text is erased in time', () => {
  test.each(['kill', 'power'] as const)(
    'over a crash at any operation of its erasure: %s',
    { timeout: timeLimit(20_000) },
    async (kind) => {
      for (const operations of CRASHES_AT) await crashAt(kind, operations);
    },
  );
});
