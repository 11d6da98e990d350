// Opens the index of a data folder, and repairs a damaged one: from its copy, or from a log that still has its first
// segment. A repair fills another folder first and gives it the name of the index last, so that a start that was cut
// short is repeated.
import { join } from 'node:path';
import { BrokerError, isBrokerError } from '../errors.ts';
import { readCheckpoint, type CheckpointState } from './checkpoint/checkpoint.ts';
import { readProcessRun, type ProcessRun } from './checkpoint/process-run.ts';
import { DiskReserve, type ReserveLimits } from './disk/disk-reserve.ts';
import { isCode, type LogFiles } from './disk/log-files.ts';
import { listSegments, logIsMissing } from './disk/segments.ts';
import { checkIndex } from './read/index-check.ts';
import { textOf } from './topics/damage-account.ts';
import {
  exists,
  findIndexDamage,
  hasBytes,
  isMarkedDamaged,
  markDamaged,
  putIndexAside,
  removeFolder,
} from './topics/index-file.ts';
import { noteChecked, noteEnd, noteStart } from './checkpoint/index-runs.ts';
import { IndexWriter } from './topics/index-writer.ts';
import { TopicIndex } from './topics/topic-index.ts';

interface IndexOptions {
  readonly folder: string;
  readonly newEpoch: () => string;
  readonly onWarning?: (text: string) => void;
}

/** The steps that undo an opening, in the order in which the opening took them. */
export type ReleaseSteps = (() => Promise<void>)[];

/** The index of a folder, its last checkpoint, and the record of the last process run on the folder. */
export interface OpenedIndex {
  readonly index: TopicIndex;
  readonly reserve: DiskReserve;
  readonly from: CheckpointState | undefined;
  readonly last: ProcessRun | undefined;
  /** The index was made again, from its copy or from the log: process runs may be missing in it. */
  readonly isRebuilt: boolean;
  /** The index holds damage that could not be repaired. */
  readonly isDamaged: boolean;
}

/** `of no use`: there is no copy, or it describes an index without a checkpoint. */
type MadeFromCopy = 'made' | 'segments are missing' | 'unreadable' | 'of no use';

type Usable = Pick<OpenedIndex, 'index' | 'isDamaged'> & { readonly isRestored: boolean };

/** @throws BrokerError corrupt, disk-full, invalid-config */
export async function openIndex(
  options: IndexOptions,
  files: LogFiles,
  limits: ReserveLimits,
  release: ReleaseSteps,
): Promise<OpenedIndex> {
  const { folder, newEpoch } = options;
  release.push(() => noteEnd(folder));
  await checkAfterDeaths(options);
  const { index, isRestored, isDamaged } = await usableIndex(options, files);
  release.push(() => index.close());
  const reserve = await DiskReserve.open(files, folder, limits);
  release.push(() => reserve.close());
  await claimIndex(index, reserve, newEpoch());
  await index.onCopy('attach');
  const from = readCheckpoint(index);
  const last = readProcessRun(index);
  const isRebuilt = isRestored || (from === undefined && (await segmentsOf(files, folder)).length > 0);
  return {
    ...{ index, reserve, from, isRebuilt, isDamaged },
    // The run that the copy names need not have been the last one.
    last: isRestored && last !== undefined ? { ...last, clean: false } : last,
  };
}

/** Must be called before the log is read: a process that this one replaces then acknowledges no later batch. Without
 *  room on the device there is no mark, and only the lock keeps other processes out. */
async function claimIndex(index: TopicIndex, reserve: DiskReserve, mark: string): Promise<void> {
  try {
    await reserve.use(() => index.claim(mark));
  } catch (error) {
    if (!isCode(error, 'ENOSPC')) throw error;
  }
}

/** lmdb trusts its pages, so a damaged one may end each process that reads it, without an error. */
async function checkAfterDeaths({ folder, onWarning }: IndexOptions): Promise<void> {
  if (!(await noteStart(folder))) return;
  try {
    const damage = await checkIndex(folder, { forgetDeadReaders: () => undefined });
    if (damage !== undefined) {
      markDamaged(indexOf(folder));
      onWarning?.(`the last process runs did not end in order, so the index was checked. It is damaged: ${damage}`);
    }
    await noteChecked(folder);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    onWarning?.(`the last process runs did not end in order, and the index could not be checked: ${error.message}`);
  }
}

/** The index of the folder; another one in its place if it is damaged, or missing, and can be made again. An index that
 *  failed only some reads is opened all the same where it cannot: everything else in it is served.
 *  @throws BrokerError corrupt, disk-full */
async function usableIndex({ folder, onWarning }: IndexOptions, files: LogFiles): Promise<Usable> {
  const path = indexOf(folder);
  const warn = (text: string): void => onWarning?.(text);
  const isMarked = await isMarkedDamaged(path);
  const isAbsent = !(await hasBytes(join(path, 'data.mdb')));
  const ids = await segmentsOf(files, folder);
  // An index that is known to be damaged may end this process, so it is opened only if nothing can take its place. A
  // missing one is made only when it is known that a start may make it.
  const opened = isMarked || isAbsent ? undefined : await tryIndex(path, warn);
  const isEmpty = isAbsent ? !isMarked : opened instanceof TopicIndex && readCheckpoint(opened) === undefined;
  const made = { isRestored: false, isDamaged: false };
  if (opened instanceof TopicIndex) {
    if (!isEmpty) return { ...made, index: await withItsLog(opened, folder, ids) };
    await opened.close();
  }
  if (isEmpty && ids.length === 0) {
    await checkNew(files, folder);
    return { ...made, index: await newIndex(files, folder, warn) };
  }
  const copy = await makeFromCopy(files, folder, ids);
  if (copy === 'made') {
    const kept = await replaceIndex(files, folder, isEmpty);
    warn(
      `the index was ${isEmpty ? 'missing' : 'damaged'} and is made again from its copy${kept}: every chat begins another epoch, and readers with positions are told`,
    );
    return { ...made, index: new TopicIndex(path, warn), isRestored: true };
  }
  if (isEmpty) {
    if (ids[0] !== 1) throw notMadeAgain(path, `the index ${path} is missing`, ids);
    warn(
      'the index was missing and is made again from the log: every chat begins another epoch, and readers with positions are told',
    );
    return { ...made, index: await newIndex(files, folder, warn) };
  }
  // A damaged index says that there was a log.
  const isWhole = ids.length > 0 && ids.every((id, i) => id === i + 1);
  const missing = isAbsent ? `the index ${path} is missing` : undefined;
  const damaged = isWhole ? undefined : (missing ?? opened ?? (await tryIndex(path, warn)));
  if (damaged instanceof TopicIndex) {
    await withItsLog(damaged, folder, ids);
    warn(
      `the index ${path} is damaged and cannot be made again, because segments of the log were removed and it has no copy of use: what cannot be read is refused as corrupt, and everything else is served`,
    );
    return { index: damaged, isRestored: false, isDamaged: true };
  }
  if (damaged !== undefined) throw notMadeAgain(path, damaged, ids);
  const aside = await putIndexAside(files, folder);
  warn(
    `the index was damaged and is made again from the log: the old one is kept as ${join(folder, aside)}, every chat begins another epoch, and readers with positions are told`,
  );
  return { ...made, index: new TopicIndex(path, warn) };
}

/** Refuses an index that describes a log of which no file is there: nothing may be changed until somebody has looked.
 *  @throws BrokerError corrupt */
async function withItsLog(index: TopicIndex, folder: string, ids: readonly number[]): Promise<TopicIndex> {
  if (ids.length > 0 || (readCheckpoint(index)?.segments ?? []).length === 0) return index;
  await index.close();
  throw logIsMissing(logOf(folder));
}

/** A folder without a log and without an index is new only if no copy says otherwise. A first start that was killed
 *  leaves either no copy, or one that describes no segment.
 *  @throws BrokerError corrupt, disk-full */
async function checkNew(files: LogFiles, folder: string): Promise<void> {
  const copy = await makeFromCopy(files, folder, []);
  if (copy === 'segments are missing' || copy === 'unreadable') throw logIsMissing(logOf(folder));
  await removeFolder(newIndexOf(folder));
}

async function newIndex(files: LogFiles, folder: string, warn: (text: string) => void): Promise<TopicIndex> {
  await files.makeFolder(indexOf(folder));
  await files.syncFolder(folder);
  return new TopicIndex(indexOf(folder), warn);
}

function notMadeAgain(path: string, what: string, ids: readonly number[]): BrokerError {
  const isLogGone = ids.length === 0;
  const lacks = isLogGone ? 'no file of it is there' : 'segments of the log were removed';
  const orNew = isLogGone ? `. If nothing was ever stored in this folder, remove ${path}` : '';
  return new BrokerError(
    'corrupt',
    `${what}. It cannot be made again from the log, because ${lacks}, nor from ${path}.copy. Nothing was changed; restore the whole data folder from a copy${orNew}`,
  );
}

/** The opened index, or what is wrong with it. */
async function tryIndex(path: string, onDamage: (text: string) => void): Promise<TopicIndex | string> {
  const damage = await findIndexDamage(path);
  if (damage !== undefined) return `the index ${join(path, 'data.mdb')} is damaged: ${damage}`;
  let index: TopicIndex | undefined;
  try {
    index = new TopicIndex(path, onDamage);
    index.checkFormat();
    index.probe();
    readCheckpoint(index);
    return index;
  } catch (error) {
    await index?.close();
    if (isBrokerError(error, 'corrupt')) return textOf(error);
    throw error;
  }
}

/** Makes the folder `index.new`, if the copy is whole and the log still holds all that follows it.
 *  @throws BrokerError disk-full */
async function makeFromCopy(files: LogFiles, folder: string, ids: readonly number[]): Promise<MadeFromCopy> {
  const made = newIndexOf(folder);
  const from = `${indexOf(folder)}.copy`;
  await removeFolder(made);
  if (!(await exists(from))) return 'of no use';
  await files.makeFolder(made);
  let result: MadeFromCopy = 'unreadable';
  try {
    if (await new IndexWriter(made).load(from)) result = await judge(made, ids);
  } catch (error) {
    await removeFolder(made);
    if (!isCode(error, 'ENOSPC')) throw error;
    throw new BrokerError('disk-full', 'no room on the device for the index that is made again', { cause: error });
  }
  if (result !== 'made') await removeFolder(made);
  return result;
}

/** Whether every segment is there that a replay from the checkpoint of this index has to read. */
async function judge(made: string, ids: readonly number[]): Promise<MadeFromCopy> {
  const index = await tryIndex(made, () => undefined);
  if (!(index instanceof TopicIndex)) return 'unreadable';
  const from = readCheckpoint(index)?.position.segment;
  await index.close();
  if (from === undefined) return 'of no use';
  const needed = ids.filter((id) => id >= from);
  const first = Math.max(1, from);
  const isThere = (from === 0 || needed.length > 0) && needed.every((id, i) => id === first + i);
  return isThere ? 'made' : 'segments are missing';
}

/** Gives the folder `index.new` the name of the index. Returns what the operator should know of the old one. */
async function replaceIndex(files: LogFiles, folder: string, isEmpty: boolean): Promise<string> {
  await files.syncFolder(newIndexOf(folder));
  let kept = '';
  if (isEmpty) await removeFolder(indexOf(folder));
  else kept = `; the old one is kept as ${join(folder, await putIndexAside(files, folder))}`;
  await files.rename(newIndexOf(folder), indexOf(folder));
  await files.syncFolder(folder);
  return kept;
}

function segmentsOf(files: LogFiles, folder: string): Promise<number[]> {
  return listSegments(files, logOf(folder));
}

function logOf(folder: string): string {
  return join(folder, 'log');
}

function indexOf(folder: string): string {
  return join(folder, 'index');
}

function newIndexOf(folder: string): string {
  return join(folder, 'index.new');
}
