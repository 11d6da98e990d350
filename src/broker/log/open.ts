// Opens a data folder: the lock, the index, the log after its checkpoint, and only then the engine. The order matters:
// no append may begin before the torn end of the log is cut off, and none may be acknowledged before this process run
// is on record. The engine itself is in engine.ts.
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../base/clock.ts';
import { TurnSlice } from '../../base/turn-slice.ts';
import type { BrokerEngine, FlowOf } from '../broker.ts';
import { BrokerError, isBrokerError } from '../errors.ts';
import type { FlowPolicyOf } from '../flow-policy.ts';
import { parseTopicPattern } from '../lite-topic.ts';
import { Accounts, type AccountOf } from '../accounts.ts';
import { Checkpoint, readDamage, readTime } from './checkpoint/checkpoint.ts';
import { IndexCopies } from './checkpoint/index-copies.ts';
import { mayHaveLost, readBootId, startedRun, type ProcessRun } from './checkpoint/process-run.ts';
import type { FsyncMode } from './commit/group-commit.ts';
import { checkDescriptors } from './disk/descriptors.ts';
import type { DiskReserve } from './disk/disk-reserve.ts';
import { describeAccess, unusable } from './disk/folder-access.ts';
import { lockFolder } from './disk/folder-lock.ts';
import { isMarkedRestored, readFolderIdentity, removeRestoredMark } from './disk/folder-identity.ts';
import { nodeLogFiles, isCode, type LogFiles } from './disk/log-files.ts';
import { DeviceFull, LogWriter } from './disk/log-writer.ts';
import { runEvery } from './disk/run-every.ts';
import { Segments } from './disk/segments.ts';
import { LogEngine, type LogStorage } from './engine.ts';
import { DEFAULT_LIMITS, type LogLimits } from './limits.ts';
import { openIndex, type OpenedIndex, type ReleaseSteps } from './open-index.ts';
import { DamageAccount, describePart } from './topics/damage-account.ts';
import { LostChanges } from './recovery/lost-changes.ts';
import { recoverLog } from './recovery/recovery.ts';
import { Replay } from './recovery/replay.ts';
import { checkIndex } from './read/index-check.ts';
import { EngineTime } from './topics/engine-time.ts';
import { isMarkedDamaged } from './topics/index-file.ts';
import { countUncounted, readAccount } from './topics/stored-accounts.ts';
import { TopicTable } from './topics/topic-table.ts';

export interface LogBrokerOptions {
  readonly folder: string;
  /** `always`: an acknowledged append is flushed. */
  readonly fsync: FsyncMode;
  readonly clock: Clock;
  /** Must never return the same text twice. */
  readonly newEpoch: () => string;
  /** Default: all topics are of one flow. */
  readonly flowOf?: FlowOf;
  /** Default: no topic counts for an account. */
  readonly accountOf?: AccountOf;
  /** Default: all flows have the same weight. */
  readonly policyOf?: FlowPolicyOf;
  /** Called once, when the device has failed: the engine acknowledges nothing more, and the process should restart. */
  readonly onFatal: (error: Error) => void;
  readonly files?: LogFiles;
  readonly limits?: Partial<LogLimits>;
  /** Default: the boot id of this machine. */
  readonly bootId?: string;
  /** The identity of the folder: if it differs from the last one on record, the folder is a copy. Default: from the
   *  folder itself. */
  readonly place?: string;
  /** Believes the clock even if it is far from the last recorded time, because an operator confirmed it. Default:
   *  false. */
  readonly isClockTrusted?: boolean;
  /** Receives problems that an operator should look at although the folder was opened, also while it is open. */
  readonly onWarning?: (text: string) => void;
}

/** Checkpoints in the time within which a text is erased: one to notice that it is dead, one to empty its segment, one
 *  to remove the segment, and some to spare. */
const CHECKPOINTS_TO_ERASE = 8;
/** Segments that the warning about missing files names. */
const MISSING_NAMED_MAX = 16;
/** Parts that the warning about lost changes names. */
const LOST_NAMED_MAX = 8;

interface Opened {
  readonly storage: LogStorage;
  readonly copies: IndexCopies;
}

/** The record of this process run, and how the run begins. */
interface Beginning {
  readonly run: ProcessRun;
  /** The last process run may have lost visible records. */
  readonly lossy: boolean;
  /** The machine has not restarted since that run began. */
  readonly isSameBoot: boolean;
  readonly isToldRestored: boolean;
  readonly isNewEra: boolean;
}

/** @throws BrokerError locked, corrupt, invalid-config */
export async function openLogBroker(options: LogBrokerOptions): Promise<BrokerEngine> {
  const index = join(options.folder, 'index');
  const wasMarked = await isMarkedDamaged(index);
  try {
    return await openOnce(options);
  } catch (error) {
    // The opening itself found that the index is damaged: the second one makes it again, if it can.
    if (wasMarked || !isBrokerError(error, 'corrupt') || !(await isMarkedDamaged(index))) throw error;
    return openOnce(options);
  }
}

async function openOnce(options: LogBrokerOptions): Promise<BrokerEngine> {
  const files = options.files ?? nodeLogFiles;
  const release: ReleaseSteps = [];
  try {
    await checkDescriptors();
    await files.makeFolder(join(options.folder, 'log'));
    await files.syncFolder(options.folder);
    const warning = await describeAccess(options.folder);
    if (warning !== undefined) options.onWarning?.(warning);
    const lock = await lockFolder(options.folder);
    release.push(() => lock.release());
    const { storage, copies } = await openStorage(options, files, release);
    const engine = new LogEngine(storage);
    engine.start();
    copies.start(() => engine.requestCheckpoint());
    return engine;
  } catch (error) {
    // The error of the opening came first.
    await releaseAll(release).catch(() => undefined);
    throw unusable(options.folder, error);
  }
}

async function openStorage(options: LogBrokerOptions, files: LogFiles, release: ReleaseSteps): Promise<Opened> {
  const { folder, fsync, clock, newEpoch, onFatal, onWarning = () => undefined } = options;
  const { flowOf = () => '', policyOf = () => ({}) } = options;
  const limits = limitsOf(options);
  const opened = await openIndex(options, files, limits, release);
  const { index, reserve, from } = opened;
  const segments = new Segments(files, join(folder, 'log'), limits.openSegmentsMax);
  release.push(() => segments.close());
  await removeOldCopies(files, segments.folder);
  const accounts = new Accounts(options.accountOf, (name) => readAccount(index, name));
  const table = new TopicTable(index, segments, clock, limits, accounts);
  const damage = new DamageAccount(clock, onWarning);
  const [topics, parts] = readDamage(index);
  damage.load(topics, parts);
  const check = (signal: AbortSignal): Promise<string | undefined> => checkIndex(folder, index, signal);
  const copies = new IndexCopies({ clock, limits, index, reserve, isDamaged: opened.isDamaged, check, onWarning });
  release.push(() => copies.stop());
  const checkpoint = new Checkpoint({ clock, limits, index, table, segments, reserve, damage, accounts, copies });
  const begun = await beginOn(options, opened);
  table.era = begun.run.era;
  table.nextTopicId = from?.nextTopicId ?? 1;
  const slice = new TurnSlice(clock, limits);
  await countUncounted({ index, table, accounts, slice }, onWarning);
  for (const figures of from?.segments ?? []) segments.restore(figures, figures.id !== from?.position.segment);
  segments.now = () => from?.time ?? 0;
  const groups = new Map([...index.groups()].map(([group, pattern]) => [group, parseTopicPattern(pattern)]));
  const lost = new LostChanges(table, damage);
  const replay = new Replay(table, damage, lost, (group, pattern) => {
    groups.set(group, parseTopicPattern(pattern));
    checkpoint.addGroup(group, pattern);
  });
  const recovered = await recoverLog(files, segments, {
    from: from?.position,
    known: (from?.segments ?? []).map(({ id }) => id),
    lossy: begun.lossy,
    isSameBoot: begun.isSameBoot,
    isClean: opened.last?.clean === true,
    slice,
    onFrame: (frame, location) => replay.apply(frame, location),
    onLost: (part) => lost.partLost(part),
  });
  const beginning = await afterLosses(begun, lost, slice, onWarning);
  const { run } = beginning;
  await segments.measure();
  warnOfMissing(segments, onWarning);
  const recorded = Math.max(readTime(index, from) ?? 0, recovered.time);
  const time = new EngineTime(clock, recorded === 0 ? undefined : recorded, options.isClockTrusted ?? false);
  segments.now = () => time.now();
  const mustRoll = opened.last !== undefined && !opened.last.clean;
  const writer = new LogWriter(
    files,
    segments,
    { segmentBytes: limits.segmentBytes, earlyBytes: limits.reserveStepBytes, newSalt: newEpoch },
    { ...recovered, mustRoll },
  );
  release.push(() => writer.close());
  await writer.fillReserve();
  if (recovered.isDamaged) await leaveDamagedSegment(writer);
  await writeFirstCheckpoint({ checkpoint, writer, time }, beginning);
  if (beginning.isToldRestored) await removeRestoredMark(folder);
  await fillDiskReserve(reserve, writer, onWarning);
  const storage = {
    ...{ fsync, clock, newEpoch, flowOf, policyOf, onFatal, onWarning, limits, files, folder },
    ...{ index, segments, table, checkpoint, writer, reserve },
    ...{ damage, accounts, time, run, groups, release: () => releaseAll(release) },
  };
  return { storage, copies };
}

/** A checkpoint follows soon enough for what it has to erase. */
function limitsOf({ limits: changes }: LogBrokerOptions): LogLimits {
  const limits = { ...DEFAULT_LIMITS, ...changes };
  const checkpointIntervalMs = Math.min(limits.checkpointIntervalMs, limits.eraseWithinMs / CHECKPOINTS_TO_ERASE);
  return { ...limits, checkpointIntervalMs };
}

/** Earlier builds copied segments on a full device, and a crash left such a copy behind. */
async function removeOldCopies(files: LogFiles, folder: string): Promise<void> {
  for (const name of await files.list(folder)) if (name.endsWith('.thin')) await files.unlink(join(folder, name));
}

async function beginOn(options: LogBrokerOptions, { last, isRebuilt }: OpenedIndex): Promise<Beginning> {
  const bootId = options.bootId ?? (await readBootId());
  const lossy = mayHaveLost(last, bootId);
  const place = options.place ?? (await readFolderIdentity(options.folder));
  const isToldRestored = await isMarkedRestored(options.folder);
  const isCopy = isToldRestored || (last?.place !== undefined && last.place !== place);
  // Without its index the folder has lost the number of its era, so the next era must be a random one as well.
  const era = nextEra(last?.era ?? 0, { lossy, isCopy: isCopy || isRebuilt }, options.newEpoch);
  if (isCopy)
    options.onWarning?.(
      'the data folder was copied or restored since it was last written: every chat begins another epoch, and readers with positions of the other history are told',
    );
  return {
    run: { ...startedRun(bootId, options.fsync, era), place },
    lossy,
    isSameBoot: bootId !== '' && last?.bootId === bootId,
    isToldRestored,
    isNewEra: lossy || isCopy || isRebuilt,
  };
}

function warnOfMissing({ missing }: Segments, onWarning: (text: string) => void): void {
  if (missing.size === 0) return;
  const named = [...missing].sort((a, b) => a - b).slice(0, MISSING_NAMED_MAX);
  onWarning(
    `files of the log are missing (${missing.size}; segments ${named.join(', ')}): the first read of a chat declares its records in them as lost, and everything else is served; if you have the files, stop the server and put them back before that; \`holdline topics verify\` names the topics`,
  );
}

/** Nothing is served before the first checkpoint has made durable what was lost. Until then a repeated start comes to
 *  the same. */
async function afterLosses(
  beginning: Beginning,
  lost: LostChanges,
  slice: TurnSlice,
  onWarning: (text: string) => void,
): Promise<Beginning> {
  const { parts, topics } = lost;
  if (parts.length === 0) return beginning;
  const named = parts.slice(0, LOST_NAMED_MAX).map(describePart);
  onWarning(
    `the log is damaged where this start had to read it (${parts.length} parts; ${named.join('; ')}): the changes there are lost. ${topics} topics lack records, and say so. Of most others it is not known whether they changed, so they begin another epoch, and readers with positions are told; \`holdline topics damaged\` names what is known`,
  );
  if (beginning.isNewEra) return beginning;
  const run = { ...beginning.run, era: beginning.run.era + 1 };
  await lost.beginEra(run.era, slice);
  return { ...beginning, run, isNewEra: true };
}

/** Without room for it nothing may be served: the next checkpoint would name a damaged segment as the log's end. */
async function leaveDamagedSegment(writer: LogWriter): Promise<void> {
  try {
    await writer.leaveDamagedSegment();
  } catch (error) {
    if (!(error instanceof DeviceFull)) throw error;
    throw new BrokerError('disk-full', 'no room on the device for the record of damage', { cause: error });
  }
}

async function fillDiskReserve(
  reserve: DiskReserve,
  writer: LogWriter,
  onWarning: LogBrokerOptions['onWarning'],
): Promise<void> {
  if (await reserve.heal()) return;
  writer.endSegmentEarly();
  onWarning?.(
    'the device of the data folder is full: ends, removals and expiry go on, everything else is refused until there is room for the file `reserve`',
  );
}

/** A copy may be restored several times, and each time a different history begins at the same era: so a copy gets a
 *  random era. */
function nextEra(
  last: number,
  { lossy, isCopy }: { readonly lossy: boolean; readonly isCopy: boolean },
  newEpoch: () => string,
): number {
  if (isCopy) return last + 1 + crc32(newEpoch());
  return lossy ? last + 1 : last;
}

/** Without room on the device the chats can still be read, and the next checkpoint writes what this one could not. That
 *  is an error only if this process run must be on record: it may lose records, or it begins another era. */
async function writeFirstCheckpoint(
  { checkpoint, writer, time }: Pick<LogStorage, 'checkpoint' | 'writer' | 'time'>,
  { run, isNewEra }: Beginning,
): Promise<void> {
  try {
    await checkpoint.write(writer.position, time.now(), run);
  } catch (error) {
    if (!isCode(error, 'ENOSPC')) throw error;
    if (isNewEra || !run.durable)
      throw new BrokerError('disk-full', 'no room on the device for the record of this start', { cause: error });
  }
}

/** @throws the error of the first step that failed */
function releaseAll(steps: ReleaseSteps): Promise<void> {
  return runEvery(steps.reverse());
}
