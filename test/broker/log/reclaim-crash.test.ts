// A crash at any step of writing, superseding, moving, writing a checkpoint, removing segments and removing chats:
// everything that was acknowledged is there afterwards, and nothing that was superseded or removed comes back.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { timeLimit } from '../../support/slowness.ts';
import { CrashingDisk, type CrashKind } from '../../worlds/crashing-disk.ts';
import { Random } from '../../worlds/random.ts';
import { append, major, minor, outcome, readLines, topicName } from '../contract/subject.ts';

const CHATS = ['chat/a', 'chat/b', 'chat/c'].map(topicName);
const NOTES = topicName('list/notes');
/** Every commit is followed by a checkpoint, and every segment with a dead record is emptied. */
const LIMITS = {
  ...{ commitIntervalMs: 0, segmentBytes: 600, checkpointBytes: 1, dirtyTopicsMax: 4, idleTopicsMax: 2 },
  ...{ recentBytes: 0, reserveBytes: 0, logPerLive: 1, spareSegments: 0 },
};
const ROUNDS = 6;
/** Operations of the disk from the start of the history to the crash. */
const CRASHES_AT = Array.from({ length: 44 }, (_, i) => 2 + 7 * i);

/** The topics as the broker acknowledged them, and the one that the last call left in doubt. */
class Acknowledged {
  readonly lines = new Map<LiteTopicName, readonly string[]>();
  doubt: { readonly topic: LiteTopicName; readonly lines: readonly string[] } | undefined;

  /** False: the broker refused, because the disk has crashed. */
  async call(topic: LiteTopicName, lines: readonly string[], call: Promise<unknown>): Promise<boolean> {
    this.doubt = { topic, lines };
    if ((await outcome(call)) !== 'accepted') return false;
    this.lines.set(topic, lines);
    this.doubt = undefined;
    return true;
  }

  async check(broker: BrokerEngine): Promise<void> {
    for (const topic of [...CHATS, NOTES]) {
      const allowed = [this.lines.get(topic) ?? []];
      if (this.doubt?.topic === topic) allowed.push(this.doubt.lines);
      const [info] = await broker.describe([topic]);
      expect(allowed).toContainEqual(info === undefined ? [] : await readLines(broker, topic));
    }
  }
}

/** Streams an answer in each chat, supersedes it, keeps a note, and removes every other chat, until the disk
 *  crashes. */
async function live(broker: BrokerEngine, acknowledged: Acknowledged): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, chat] of CHATS.entries()) {
      const before = acknowledged.lines.get(chat) ?? [];
      const first = before.length === 0 ? 0 : nextOf(before);
      const text = (j: number): string => `${round}.${i}.${j} `.repeat(12);
      const tokens = [0, 1, 2].map(text);
      const streamed = [...before, ...tokens.map((data, j) => `${first + j}m:${data}`)];
      if (!(await acknowledged.call(chat, streamed, append(broker, chat, minor(...tokens))))) return;
      const answer = `${round}.${i} done`;
      const answered = [...before, `${first}-${first + 2}>${first + 3}`, `${first + 3}M:${answer}`];
      const supersedes: [number, number][] = [[first, first + 2]];
      if (!(await acknowledged.call(chat, answered, append(broker, chat, major(answer), { supersedes })))) return;
    }
    const notes = acknowledged.lines.get(NOTES) ?? [];
    const note = `note ${round}`;
    const noted = [...notes, `${notes.length}M:${note}`];
    if (!(await acknowledged.call(NOTES, noted, append(broker, NOTES, major(note))))) return;
    const gone = CHATS[round % CHATS.length];
    if (gone !== undefined && round % 2 === 1 && !(await acknowledged.call(gone, [], broker.remove(gone)))) return;
  }
}

/** The offset behind the last line. */
function nextOf(lines: readonly string[]): number {
  return parseInt(lines.at(-1) ?? '', 10) + 1;
}

/** A start that finds the index damaged as well makes it again from its copy, although segments were removed. */
async function checkWithoutIndex(folder: string, bootId: string, acknowledged: Acknowledged): Promise<void> {
  const copy = join(folder, 'copy');
  await cp(join(folder, 'data'), copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  const file = join(copy, 'index', 'data.mdb');
  await writeFile(file, (await readFile(file)).fill(0, 0, 8192));
  const warnings: string[] = [];
  const broker = await openLogBroker({
    ...{ folder: copy, fsync: { mode: 'always' }, clock: new ManualClock(), newEpoch: randomEpoch, bootId },
    ...{ place: 'here', limits: LIMITS, onFatal: () => undefined, onWarning: (text) => warnings.push(text) },
  });
  expect(warnings).toEqual([expect.stringMatching(/^the index was damaged and is made again from its copy; .*bad/)]);
  expect(broker.health().state).toBe('ready');
  await acknowledged.check(broker);
  await broker.close();
}

/** Runs the history until the crash, checks the folder, runs it once more, and checks it again. */
async function crashAt(kind: CrashKind, operations: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-reclaim-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const disk = new CrashingDisk(new Random(operations), join(folder, 'trash'), () => undefined);
  const open = (bootId: string): Promise<BrokerEngine> =>
    openLogBroker({
      bootId,
      ...{ folder: join(folder, 'data'), fsync: { mode: 'always' }, clock: new ManualClock(), newEpoch: randomEpoch },
      ...{ place: 'here', files: disk.newLife(), limits: LIMITS, onFatal: () => undefined },
    });
  const acknowledged = new Acknowledged();
  const first = await open('one');
  disk.arm(kind, operations);
  await live(first, acknowledged);
  disk.die();
  await first.close().catch(() => undefined);
  await disk.closeFiles();
  if (kind !== 'kill') await disk.powerCut();
  const bootId = kind === 'kill' ? 'one' : 'two';
  // At every second crash, because each of these starts has its cost.
  if (operations % 2 === 0) await checkWithoutIndex(folder, bootId, acknowledged);
  const second = await open(bootId);
  expect(second.health().state).toBe('ready');
  await acknowledged.check(second);
  acknowledged.doubt = undefined;
  for (const topic of [...CHATS, NOTES]) {
    const [info] = await second.describe([topic]);
    acknowledged.lines.set(topic, info === undefined ? [] : await readLines(second, topic));
  }
  await live(second, acknowledged);
  await second.close();
  const third = await open(bootId);
  await acknowledged.check(third);
  await third.close();
}

describe('a log that reclaims all the time keeps what it acknowledged', () => {
  test.each(['kill', 'power'] as const)(
    'over a crash at any operation of the disk: %s',
    { timeout: timeLimit(60_000) },
    async (kind) => {
      for (const operations of CRASHES_AT) await crashAt(kind, operations);
    },
  );
});
