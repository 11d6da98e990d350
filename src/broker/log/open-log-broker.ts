// Opens a data folder: lock, index, the log after its checkpoint, and only then the engine. The order matters: nobody
// may append before the torn end is cut off, and nothing may be promised before this life is on record.
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../base/clock.ts';
import { TOMBSTONE_MS, type BrokerEngine } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { QueueStore } from '../group/queue-store.ts';
import { GroupConsumption } from '../group/group-consumption.ts';
import { parseTopicPattern, type TopicPattern } from '../lite-topic.ts';
import type { TailReader } from '../tail/tail-reader.ts';
import { TailRing } from '../tail/wake-list.ts';
import { Appender } from './commit/appender.ts';
import { CheckpointSchedule } from './checkpoint/checkpoint-schedule.ts';
import { Checkpoint, readCheckpoint, readTime } from './checkpoint/checkpoint.ts';
import { ColdReads } from './read/cold-reads.ts';
import { checkDescriptors } from './disk/descriptors.ts';
import { DiskReserve } from './disk/disk-reserve.ts';
import { EngineTime } from './topics/engine-time.ts';
import { Expiry, EXPIRY_RETRY_MS } from './topics/expiry.ts';
import { describeAccess, unusable } from './disk/folder-access.ts';
import { lockFolder } from './disk/folder-lock.ts';
import { readFolderIdentity, isMarkedRestored, removeRestoredMark } from './disk/folder-identity.ts';
import { GroupCommit, type FsyncMode } from './commit/group-commit.ts';
import { checkIndexFile } from './topics/index-file.ts';
import {
  describeDurability,
  mayHaveLost,
  readBootId,
  readProcessRun,
  startedRun,
  type ProcessRun,
} from './checkpoint/process-run.ts';
import { DEFAULT_LIMITS, type LogLimits } from './limits.ts';
import { LogBroker } from './log-broker.ts';
import { type LogFiles, isCode } from './disk/log-files.ts';
import { LogWriter } from './disk/log-writer.ts';
import { nodeLogFiles } from './disk/node-log-files.ts';
import { recoverLog } from './recovery/recovery.ts';
import { RecentLog } from './read/recent-log.ts';
import { Replay } from './recovery/replay.ts';
import { SegmentThinning } from './reclaim/segment-thinning.ts';
import { Segments } from './disk/segments.ts';
import { TopicIndex } from './topics/topic-index.ts';
import { TopicLister } from './topics/topic-lister.ts';
import { TopicReads } from './read/topic-reads.ts';
import { TopicTable } from './topics/topic-table.ts';
import type { Topic } from './topics/topic.ts';

export interface LogBrokerOptions {
  readonly folder: string;
  /** `always`: acknowledged means flushed. */
  readonly fsync: FsyncMode;
  readonly clock: Clock;
  /** Must not repeat itself. */
  readonly newEpoch: () => string;
  /** Once, when the device failed: nothing is promised any more and the process should be restarted. */
  readonly onFatal: (error: Error) => void;
  readonly files?: LogFiles;
  readonly limits?: Partial<LogLimits>;
  /** Default: the machine's. */
  readonly bootId?: string;
  /** Which folder it is: another one than the last time is a copy. Default: the folder's own mark. */
  readonly place?: string;
  /** An operator says that the clock is right, however far it is from the last recorded time. Default: false. */
  readonly isClockTrusted?: boolean;
  /** What an operator should look at, although the folder was opened. */
  readonly onWarning?: (text: string) => void;
}

interface Storage {
  readonly options: LogBrokerOptions;
  readonly limits: LogLimits;
  readonly index: TopicIndex;
  readonly segments: Segments;
  readonly table: TopicTable;
  readonly checkpoint: Checkpoint;
  readonly writer: LogWriter;
  readonly reserve: DiskReserve;
  readonly thinning: SegmentThinning;
  readonly time: EngineTime;
  readonly run: ProcessRun;
  readonly groups: Map<string, TopicPattern>;
  readonly release: () => Promise<void>;
}

/** @throws BrokerError locked, corrupt, invalid-config */
export async function openLogBroker(options: LogBrokerOptions): Promise<BrokerEngine> {
  const files = options.files ?? nodeLogFiles;
  const release: (() => Promise<void>)[] = [];
  try {
    await checkDescriptors();
    await files.makeFolder(join(options.folder, 'log'));
    await files.makeFolder(join(options.folder, 'index'));
    await files.syncFolder(options.folder);
    const warning = await describeAccess(options.folder);
    if (warning !== undefined) options.onWarning?.(warning);
    const lock = await lockFolder(options.folder);
    release.push(() => lock.release());
    return assemble(await openStorage(options, files, release));
  } catch (error) {
    for (const step of release.reverse()) await step();
    throw unusable(options.folder, error);
  }
}

async function openStorage(
  options: LogBrokerOptions,
  files: LogFiles,
  release: (() => Promise<void>)[],
): Promise<Storage> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const bootId = options.bootId ?? (await readBootId());
  await checkIndexFile(join(options.folder, 'index'));
  const index = new TopicIndex(join(options.folder, 'index'));
  release.push(() => index.close());
  index.checkFormat();
  const reserve = await DiskReserve.open(files, options.folder, limits);
  release.push(() => reserve.close());
  await claimIndex(index, reserve, options.newEpoch());
  const segments = new Segments(files, join(options.folder, 'log'), limits.openSegmentsMax);
  release.push(() => segments.close());
  const table = new TopicTable(index, segments, limits);
  const checkpoint = new Checkpoint(index, table, segments, reserve);
  const thinning = new SegmentThinning(files, segments, index, reserve);
  await thinning.removeLeftovers();
  const [last, from] = [readProcessRun(index), readCheckpoint(index)];
  const lossy = mayHaveLost(last, bootId);
  const place = options.place ?? (await readFolderIdentity(options.folder));
  const isToldRestored = await isMarkedRestored(options.folder);
  const isCopy = isToldRestored || (last?.place !== undefined && last.place !== place);
  const run = {
    ...startedRun(bootId, options.fsync, nextEra(last?.era ?? 0, { lossy, isCopy }, options.newEpoch)),
    place,
  };
  if (isCopy)
    options.onWarning?.(
      'the data folder was copied or restored since it was last written: every chat begins another epoch, and readers with positions of the other history are told',
    );
  table.era = run.era;
  table.nextTopicId = from?.nextTopicId ?? 1;
  for (const { id, live } of from?.segments ?? []) segments.add(id, live, id !== from?.position.segment);
  const groups = new Map([...index.groups()].map(([group, pattern]) => [group, parseTopicPattern(pattern)]));
  const replay = new Replay(table, (group, pattern) => {
    groups.set(group, parseTopicPattern(pattern));
    checkpoint.addGroup(group, pattern);
  });
  const recovered = await recoverLog(files, segments, {
    from: from?.position,
    known: (from?.segments ?? []).map(({ id }) => id),
    lossy,
    onFrame: (frame, location) => replay.apply(frame, location),
  });
  const recorded = Math.max(readTime(index, from) ?? 0, recovered.time);
  const time = new EngineTime(options.clock, recorded === 0 ? undefined : recorded, options.isClockTrusted ?? false);
  const mustRoll = last !== undefined && !last.clean;
  const writer = new LogWriter(
    files,
    segments,
    { segmentBytes: limits.segmentBytes, earlyBytes: limits.reserveStepBytes, newSalt: options.newEpoch },
    { ...recovered, mustRoll },
  );
  release.push(() => writer.close());
  await writer.fillReserve();
  await writeFirstCheckpoint({ checkpoint, writer, time, run, isNewEra: lossy || isCopy });
  if (isToldRestored) await removeRestoredMark(options.folder);
  if (!(await reserve.heal())) {
    writer.endSegmentEarly();
    options.onWarning?.(
      'the device of the data folder is full: ends, removals and expiry go on, everything else is refused until there is room for the file `reserve`',
    );
  }
  return {
    options,
    limits,
    index,
    segments,
    table,
    checkpoint,
    writer,
    reserve,
    thinning,
    time,
    run,
    groups,
    release: () => releaseAll(release),
  };
}

/** Before the log is read: a process that this one replaces acknowledges nothing that stands in the log later. Without room
 *  on the device there is no mark, and the lock alone keeps others out. */
async function claimIndex(index: TopicIndex, reserve: DiskReserve, mark: string): Promise<void> {
  try {
    await reserve.use(() => index.claim(mark));
  } catch (error) {
    if (!isCode(error, 'ENOSPC')) throw error;
  }
}

interface FirstCheckpoint extends Pick<Storage, 'checkpoint' | 'writer' | 'time' | 'run'> {
  readonly isNewEra: boolean;
}

/** A copy may be put back more than once, and each time another history begins at the same era. */
function nextEra(
  last: number,
  { lossy, isCopy }: { readonly lossy: boolean; readonly isCopy: boolean },
  newEpoch: () => string,
): number {
  if (isCopy) return last + 1 + crc32(newEpoch());
  return lossy ? last + 1 : last;
}

/** Without room on the device the chats can still be read, and the next checkpoint takes along what this one could not
 *  write: unless this life must be on record, because it may lose something, or because it begins another era. */
async function writeFirstCheckpoint({ checkpoint, writer, time, run, isNewEra }: FirstCheckpoint): Promise<void> {
  try {
    await checkpoint.write(writer.position, time.now(), run);
  } catch (error) {
    if (!isCode(error, 'ENOSPC')) throw error;
    if (isNewEra || !run.durable)
      throw new BrokerError('disk-full', 'no room on the device for the record of this start', { cause: error });
  }
}

async function releaseAll(steps: (() => Promise<void>)[]): Promise<void> {
  for (const step of steps.reverse()) await step();
}

function assemble(storage: Storage): LogBroker {
  const { options, limits, index, segments, table, checkpoint, writer, reserve, time } = storage;
  const { clock } = options;
  const ring = new TailRing();
  const mark = (reader: TailReader): void => ring.markReader(reader);
  const recent = new RecentLog(limits.recentBytes);
  const fatal = once(options.onFatal);
  const schedule = new CheckpointSchedule(clock, limits, {
    dirtyTopics: () => table.dirty.size,
    isNeededForRoom: () => !reserve.isWhole && isRoomToMake(storage),
    isSynced: () => commit.synced,
    requestSync: () => commit.requestSync(),
    write: () => writeCheckpoint(storage),
    onFatal: (error) => commit.failNow(error),
  });
  const commit: GroupCommit = new GroupCommit(writer, clock, {
    fsync: options.fsync,
    limits,
    hooks: {
      now: () => time.now(),
      isOwner: () => index.isOwned,
      onWritten: (at, batch) => recent.add(at.segment, at.position, batch),
      afterBatch: (bytes) => {
        ring.drain();
        schedule.atBatchBoundary(bytes);
      },
      onFull: () => prepareForRoom(storage),
      onFatal: fatal,
    },
  });
  const expiry: Expiry = new Expiry(
    clock,
    time,
    { table, index, sliceMax: limits.sweepTopics },
    {
      isHeld: (topic) => groups.hasLag(topic.name),
      end: (topic) => void appender.end(topic.name, 'expired').catch(() => expiry.arm(time.now() + EXPIRY_RETRY_MS)),
    },
  );
  const appender: Appender = new Appender(
    { table, commit, reserve, time },
    {
      newEpoch: options.newEpoch,
      isDue: (topic, now) => expiry.isDue(topic, now),
      onExpiry: (at) => expiry.arm(at),
      onVisible: (topic, major) => {
        topic.eachReader(major, mark);
        groups.onAppended(topic.name);
      },
      onEnded: (topic, tombstone) => {
        topic.eachReader(true, (reader) => {
          reader.end(topic.endReset(tombstone));
          ring.markReader(reader);
        });
        groups.onRemoved(topic.name);
        expiry.arm(tombstone.at + TOMBSTONE_MS);
      },
      onGroup: (group, pattern) => {
        storage.groups.set(group, parseTopicPattern(pattern));
        checkpoint.addGroup(group, pattern);
      },
    },
  );
  const lister = new TopicLister(table, index);
  const groups: GroupConsumption = new GroupConsumption(
    queueStore(storage, { appender, expiry, lister, broker: () => broker }),
    clock,
    storage.groups,
  );
  const broker = new LogBroker({
    table,
    appender,
    commit,
    reserve,
    expiry,
    lister,
    ring,
    groups,
    reads: new TopicReads(table, recent, new ColdReads(segments, limits.coldReadsMax), time),
    time,
    clock,
    durability: describeDurability(options.fsync),
    shutDown: () => shutDown(storage, commit, schedule),
  });
  watchTime(storage, expiry, commit);
  expiry.sweep();
  return broker;
}

function watchTime({ time, checkpoint }: Storage, expiry: Expiry, commit: GroupCommit): void {
  time.watch({
    record: (now) => checkpoint.recordTime(now),
    onJump: () => expiry.restart(),
    onFatal: (error) => commit.failNow(error),
  });
}

async function writeCheckpoint({ checkpoint, writer, time, run, reserve, thinning }: Storage): Promise<void> {
  const { segment } = writer.position;
  await checkpoint.write(writer.position, time.now(), run);
  if (!reserve.isWhole) await thinning.run(segment);
}

function isRoomToMake({ segments, writer, thinning }: Storage): boolean {
  const { segment } = writer.position;
  return segments.dead(segment).length > 0 || thinning.isWorthIt(segment);
}

function prepareForRoom({ reserve, writer }: Storage): void {
  reserve.markUsed();
  writer.endSegmentEarly();
}

/** A failed device gets no last checkpoint: what it would say of the log may not be true. */
async function shutDown(
  { checkpoint, writer, time, run, release }: Storage,
  commit: GroupCommit,
  schedule: CheckpointSchedule,
): Promise<void> {
  await time.stop();
  await schedule.stop();
  commit.stop();
  try {
    if (commit.state !== 'failed') {
      await writer.sync();
      await checkpoint.write(writer.position, time.now(), { ...run, clean: true });
    }
  } catch (error) {
    // Without room for it the log is as true as after a crash: the next start replays more of it.
    if (!isCode(error, 'ENOSPC')) throw error;
  } finally {
    await release();
  }
}

interface QueueParts {
  readonly appender: Appender;
  readonly expiry: Expiry;
  readonly lister: TopicLister;
  /** It is made last, because it answers with all the others. */
  readonly broker: () => LogBroker;
}

function queueStore({ table, groups }: Storage, parts: QueueParts): QueueStore {
  const { appender, expiry, lister } = parts;
  return {
    read: (name, from, options) => parts.broker().read(name, from, options),
    saveGroup: async (group, pattern) => {
      if (groups.get(group) === pattern) return;
      await appender.saveGroup(group, pattern);
    },
    pendingTopics: (group, pattern) =>
      [...lister.matching(pattern)].filter((topic) => hasMore(topic, group)).map(({ name }) => name),
    head: (name) => {
      const version = table.find(name)?.visible;
      return version && { epoch: version.state.epoch, next: version.state.next, priority: version.priority };
    },
    committed: (group, name) => table.find(name)?.consumed?.get(group) ?? 0,
    commit: async (group, name, epoch, next) => {
      await appender.consumed(name, group, epoch, next);
      // Its time may have come while the group kept it.
      const at = table.find(name)?.pending?.expiresAt;
      if (at !== undefined) expiry.arm(at);
    },
  };
}

function hasMore({ visible, consumed }: Topic, group: string): boolean {
  return visible !== undefined && (consumed?.get(group) ?? 0) < visible.state.next;
}

function once(onFatal: (error: Error) => void): (error: BrokerError) => void {
  let told = false;
  return (error) => {
    if (told) return;
    told = true;
    onFatal(error);
  };
}
