// Every kind of damage at many places of a data folder: the server starts, every chat that is not touched is served
// whole, every touched one says so, nothing is served that was not written, and the chats continue. Also with a crash
// at any operation of the start that declares the damage.
import { cp, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { nodeLogFiles, type LogFiles } from '../../../src/broker/log/disk/log-files.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { timeLimit } from '../../support/slowness.ts';
import { CrashingDisk, type CrashKind } from '../../worlds/crashing-disk.ts';
import { Random } from '../../worlds/random.ts';
import { append, infoOf, major, minor, readLines, topicName } from '../contract/subject.ts';
import { crashCopy, segmentPath } from './opened-log.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
const CHATS = NAMES.map((name) => topicName(`chat/${name}`));
const ROUNDS = 8;
/** The checkpoint is behind this round: what follows is replayed. */
const SEALED_ROUNDS = 4;
const LIMITS = { commitIntervalMs: 0, segmentBytes: 1400, reserveBytes: 0, recentBytes: 0 };
/** Flipped bits and cuts in each segment. */
const PLACES = 4;
/** Operations of the disk in a start that declares damage: the sweep over them must not be empty. */
const OPERATIONS_MIN = 3;

/** Real files without flushes, which only cost time here. */
const unflushed: LogFiles = {
  ...nodeLogFiles,
  async open(path, mode) {
    const file = await nodeLogFiles.open(path, mode);
    return {
      ...{ write: file.write.bind(file), read: file.read.bind(file), truncate: file.truncate.bind(file) },
      ...{ size: file.size.bind(file), close: file.close.bind(file), datasync: () => Promise.resolve() },
    };
  },
  syncFolder: () => Promise.resolve(),
};

/** `after`: how the last process run ended. Only a kill leaves the machine running. */
function open(folder: string, after: CrashKind = 'kill', files: LogFiles = unflushed): Promise<BrokerEngine> {
  return openLogBroker({
    ...{ folder, fsync: { mode: 'always' }, clock: new ManualClock(), newEpoch: randomEpoch, files, limits: LIMITS },
    ...{ place: 'here', bootId: after === 'kill' ? 'one' : 'two', onFatal: () => undefined },
  });
}

interface Chat {
  readonly lines: readonly string[];
  readonly epoch: string;
  readonly next: number;
}

interface Written {
  readonly folder: string;
  readonly chats: ReadonlyMap<LiteTopicName, Chat>;
  readonly segments: readonly number[];
  /** The first segment that a start replays. */
  readonly replayedFrom: number;
}

let log: Written;

/** Each round writes to four of the six chats, and each chat supersedes its tokens now and then. */
beforeAll(async () => {
  const folder = await folderOfFile();
  let broker = await open(folder);
  let replayedFrom = 0;
  for (let round = 0; round < ROUNDS; round++) {
    if (round === SEALED_ROUNDS) {
      await broker.close();
      replayedFrom = (await segmentsOf(folder)).at(-1) ?? 0;
      broker = await open(folder);
    }
    for (const [i, chat] of CHATS.entries()) {
      if ((i + round) % 3 === 0) continue;
      const { first } = await append(broker, chat, minor(`${chat} ${round} `.repeat(12)));
      if (round % 4 === 3)
        await append(broker, chat, major(`${chat} answer ${round}`), { supersedes: [[first, first]] });
    }
  }
  const chats = new Map<LiteTopicName, Chat>();
  for (const chat of CHATS) {
    const { epoch, next } = await infoOf(broker, chat);
    chats.set(chat, { epoch, next, lines: await readLines(broker, chat) });
  }
  const copy = await folderOfFile();
  await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  await broker.close();
  log = { folder: copy, chats, segments: await segmentsOf(copy), replayedFrom };
}, timeLimit(60_000));

const folders: string[] = [];

/** It stays until the last test of this file. */
async function folderOfFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-damage-'));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function segmentsOf(folder: string): Promise<number[]> {
  return (await readdir(join(folder, 'log'))).map((name) => parseInt(name, 10)).sort((a, b) => a - b);
}

/** What the lines say of each offset. */
function cellsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const range = /^(\d+)-(\d+)( lost|>)/.exec(line);
    if (range === null) return [line];
    const [, from, to, kind = ''] = range;
    return Array.from({ length: Number(to) - Number(from) + 1 }, () => kind.trim());
  });
}

/** Everything that the server says of its chats after damage. */
async function stateOf(broker: BrokerEngine): Promise<Map<LiteTopicName, Chat | undefined>> {
  const state = new Map<LiteTopicName, Chat | undefined>();
  for (const chat of CHATS) {
    const [exists] = await broker.describe([chat]);
    if (exists === undefined) {
      state.set(chat, undefined);
      continue;
    }
    const lines = await readLines(broker, chat);
    const { epoch, next } = await infoOf(broker, chat);
    state.set(chat, { lines, epoch, next });
  }
  return state;
}

/** Checks the promises. Returns the chats that are not as they were. */
async function check(broker: BrokerEngine): Promise<LiteTopicName[]> {
  const changed: LiteTopicName[] = [];
  for (const [chat, now] of await stateOf(broker)) {
    const before = log.chats.get(chat);
    if (before === undefined) throw new Error('not a chat of the log');
    if (now?.lines.join('\n') === before.lines.join('\n')) continue;
    changed.push(chat);
    const written = cellsOf(before.lines);
    for (const [offset, cell] of cellsOf(now?.lines ?? []).entries()) {
      // A lost supersede shows its tokens again, and only in another epoch.
      const isToken = written[offset] === '>' && cell.startsWith(`${offset}m:${chat} `);
      expect(cell === written[offset] || cell === 'lost' || isToken, `${chat} ${offset}: ${cell}`).toBe(true);
    }
    const read = await broker.read(chat, { epoch: before.epoch, offset: 0 });
    expect(read.kind).toBe(now === undefined ? 'missing' : 'reset');
  }
  if (changed.length > 0) expect(broker.health().state).toBe('degraded');
  return changed;
}

/** The chats continue, and a restart changes nothing of what was declared. */
async function checkContinues(broker: BrokerEngine, folder: string): Promise<void> {
  for (const chat of CHATS) await append(broker, chat, minor(`${chat} continues`));
  const before = await stateOf(broker);
  await broker.close();
  const again = await open(folder);
  expect(await stateOf(again)).toEqual(before);
  await again.close();
}

type Damage = (path: string) => Promise<void>;

function flipAt(share: number): Damage {
  return async (path) => {
    const bytes = await readFile(path);
    const at = Math.floor(bytes.length * share);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    await writeFile(path, bytes);
  };
}

function cutAt(share: number): Damage {
  return async (path) => truncate(path, Math.floor((await readFile(path)).length * share));
}

async function damagedCopy(segment: number, damage: Damage): Promise<string> {
  const copy = await crashCopy(log.folder);
  await damage(segmentPath(copy, segment));
  return copy;
}

const shares = Array.from({ length: PLACES }, (_, i) => (i + 0.37) / PLACES);

describe('damage of a data folder', { timeout: timeLimit(60_000) }, () => {
  test('of one bit costs one chat at most, in every segment', async () => {
    let changes = 0;
    for (const segment of log.segments)
      for (const share of shares) {
        const copy = await damagedCopy(segment, flipAt(share));
        const broker = await open(copy);
        const changed = await check(broker);
        // A damaged head of a batch costs the changes of the batch, and here each has one.
        expect(changed.length).toBeLessThanOrEqual(1);
        changes += changed.length;
        if (share === shares[0]) await checkContinues(broker, copy);
        else await broker.close();
        await rm(copy, { recursive: true });
      }
    expect(changes).toBeGreaterThan(log.segments.length);
  });

  test('by a cut or by a missing file costs only the chats that have records there', async () => {
    for (const segment of log.segments) {
      const text = (await readFile(segmentPath(log.folder, segment))).toString('latin1');
      const isLast = segment === log.segments.at(-1);
      // The end of the log without its last bytes looks like a batch that was being written.
      const damages = isLast ? [] : [...shares.map(cutAt), unlink];
      for (const damage of damages) {
        const copy = await damagedCopy(segment, damage);
        const broker = await open(copy);
        const changed = await check(broker);
        for (const chat of changed) expect(text).toContain(chat);
        if (segment >= log.replayedFrom || damage === unlink) expect(broker.health().state).toBe('degraded');
        if (damage === unlink) await checkContinues(broker, copy);
        else await broker.close();
        await rm(copy, { recursive: true });
      }
    }
  });

  test('of several segments at once is served as well', async () => {
    for (let i = 0; i + 3 < log.segments.length; i++) {
      const copy = await damagedCopy(log.segments[i] ?? 0, flipAt(0.6));
      await cutAt(0.5)(segmentPath(copy, log.segments[i + 1]));
      await unlink(segmentPath(copy, log.segments[i + 2]));
      const broker = await open(copy);
      await check(broker);
      await checkContinues(broker, copy);
      await rm(copy, { recursive: true });
    }
  });

  test('that has nothing to do with the log is refused, and by its own name', async () => {
    const copy = await crashCopy(log.folder);
    const path = segmentPath(copy, log.segments.at(-1));
    const bytes = await readFile(path);
    bytes.writeUInt32LE(7, 8);
    await writeFile(path, bytes);
    await expect(open(copy)).rejects.toThrow(/^invalid-config: the log was written by another version/);
    for (const segment of log.segments) await unlink(segmentPath(copy, segment));
    const refused = await open(copy).catch((error: unknown) => error);
    expect(isBrokerError(refused, 'corrupt')).toBe(true);
  });
});

describe('a start that declares damage', { timeout: timeLimit(60_000) }, () => {
  /** Lost without a trace, lost with offsets, and lost together with the file of the checkpoint. */
  const damages: readonly (readonly [what: string, segment: () => number, Damage])[] = [
    ['a flipped bit', () => log.replayedFrom + 1, flipAt(0.6)],
    ['a missing file', () => log.replayedFrom + 1, unlink],
    ['the end of the log', () => log.segments.at(-1) ?? 0, flipAt(0.95)],
    ['the file of the checkpoint', () => log.replayedFrom, unlink],
  ];

  test.each(damages)(
    'is repeated with the same result after a crash at any operation: %s',
    async (what, segment, damage) => {
      const undisturbed = await damagedCopy(segment(), damage);
      const whole = await open(undisturbed);
      const expected = await stateOf(whole);
      const known = { damaged: whole.damaged?.(), parts: whole.lostParts?.() };
      expect(known.parts?.length).toBeGreaterThan(0);
      await whole.close();
      // After a power cut a damaged last batch cannot be told from a torn one.
      const kinds = what === 'the end of the log' ? (['kill'] as const) : (['kill', 'power'] as const);
      for (const kind of kinds) {
        let [operations, hasCrashed] = [1, true];
        for (; hasCrashed; operations++) {
          const folder = await damagedCopy(segment(), damage);
          hasCrashed = await crashDuring(folder, kind, operations, () => Promise.resolve());
          const again = await open(folder, kind);
          expect(await stateOf(again)).toEqual(expected);
          expect({ damaged: again.damaged?.(), parts: again.lostParts?.() }).toEqual(known);
          await again.close();
          await rm(folder, { recursive: true });
        }
        expect(operations).toBeGreaterThan(OPERATIONS_MIN);
      }
    },
  );
});

test(
  'a read that declares damage declares it once, over a crash at any operation',
  async () => {
    const damaged = await damagedCopy(1, flipAt(0.5));
    const whole = await open(damaged);
    const [chat] = await check(whole);
    if (chat === undefined) throw new Error('no chat is damaged');
    const expected = (await stateOf(whole)).get(chat);
    expect(expected?.epoch).toBe(`${log.chats.get(chat)?.epoch}_1`);
    const known = whole.damaged?.();
    await whole.close();
    for (const kind of ['kill', 'power', 'eio'] as const) {
      let [operations, hasCrashed] = [1, true];
      for (; hasCrashed; operations++) {
        const folder = await damagedCopy(1, flipAt(0.5));
        hasCrashed = await crashDuring(folder, kind, operations, (broker) => readLines(broker, chat));
        const again = await open(folder, kind);
        expect(await readLines(again, chat)).toEqual(expected?.lines);
        expect(await infoOf(again, chat)).toMatchObject({ epoch: expected?.epoch });
        expect(again.damaged?.()).toMatchObject(known?.map(({ topic, records }) => ({ topic, records })) ?? []);
        await again.close();
        await rm(folder, { recursive: true });
      }
      expect(operations).toBeGreaterThan(OPERATIONS_MIN);
    }
  },
  timeLimit(60_000),
);

/** Opens the folder, and does something with it, until the disk crashes. False: everything was over before. */
async function crashDuring(
  folder: string,
  kind: CrashKind,
  operations: number,
  work: (broker: BrokerEngine) => Promise<unknown>,
): Promise<boolean> {
  let hasCrashed = false;
  const disk = new CrashingDisk(new Random(operations), join(folder, 'trash'), () => (hasCrashed = true));
  const life = disk.newLife();
  disk.arm(kind, operations);
  const broker = await open(folder, 'kill', life).catch(() => undefined);
  if (broker !== undefined) await work(broker).catch(() => undefined);
  disk.die();
  await broker?.close().catch(() => undefined);
  await disk.closeFiles();
  if (kind !== 'kill') await disk.powerCut();
  return hasCrashed;
}
