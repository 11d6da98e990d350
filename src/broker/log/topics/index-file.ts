// The index's files as files: checks the data file before lmdb maps it, remembers that a read of the index failed, and
// puts a damaged index aside. lmdb trusts the heads of its file, so a file that is cut off or overwritten would end the
// process by a signal, without a message.
import { writeFileSync } from 'node:fs';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode, type LogFiles } from '../disk/log-files.ts';

/** In the folder of an index that failed a read. The next start makes the index again, or says why it cannot. */
const MARK = 'damaged';
/** Folders of indexes that were put aside. */
const ASIDE = 'index.bad';

/** The two heads are in the first two pages; the newer one counts. */
const MAGIC = 0xbeefc0de;
const HEAD_BYTES = 160;
const MAGIC_AT = 24;
const PAGE_SIZE_AT = 48;
const LAST_PAGE_AT = 144;
const TRANSACTION_AT = 152;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65_536;

interface Head {
  readonly pageBytes: number;
  readonly lastPage: number;
  readonly transaction: number;
}

/** What is wrong with the files of an index, or undefined. Changes nothing. */
export async function findIndexDamage(folder: string): Promise<string | undefined> {
  const path = join(folder, 'data.mdb');
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const { size } = await file.stat();
    return size > 0 ? damageOf(size, await readHeads(file)) : undefined;
  } finally {
    await file.close();
  }
}

function damageOf(size: number, heads: readonly Head[]): string | undefined {
  const newest = heads.reduce<Head | undefined>(
    (best, head) => (best === undefined || head.transaction > best.transaction ? head : best),
    undefined,
  );
  if (newest === undefined) return 'both of its heads are damaged';
  const needed = (newest.lastPage + 1) * newest.pageBytes;
  return size < needed ? `it ends at byte ${size} and must have ${needed}` : undefined;
}

/** A read of the index failed. Must not wait: the caller is about to report that error. */
export function markDamaged(folder: string): void {
  try {
    writeFileSync(join(folder, MARK), '');
  } catch {
    // Without the mark the next start opens the index as it is, and its reads fail as they did here.
  }
}

export function isMarkedDamaged(folder: string): Promise<boolean> {
  return exists(join(folder, MARK)).catch(() => false);
}

/** @throws the system's error, if it is not known */
export async function exists(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}

/** False: the file is missing or empty. @throws the system's error, if it is not known */
export async function hasBytes(path: string): Promise<boolean> {
  return ((await sizeOf(path)) ?? 0) > 0;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Renames the folder `index` of a data folder. Returns its new name. Nothing is deleted: only the operator knows when
 *  it is of no more use. */
export async function putIndexAside(files: LogFiles, dataFolder: string): Promise<string> {
  const taken = new Set(await files.list(dataFolder));
  let name = ASIDE;
  for (let count = 2; taken.has(name); count++) name = `${ASIDE}-${count}`;
  await files.rename(join(dataFolder, 'index'), join(dataFolder, name));
  await files.makeFolder(join(dataFolder, 'index'));
  await files.syncFolder(dataFolder);
  return name;
}

/** Removes a folder that an index was made in, with its files. Of no effect if it is not there. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

async function readHeads(file: FileHandle): Promise<readonly Head[]> {
  const first = await readHead(file, 0);
  if (first !== undefined) return [first, await readHead(file, first.pageBytes)].filter((head) => head !== undefined);
  for (let pageBytes = PAGE_BYTES_MIN; pageBytes <= PAGE_BYTES_MAX; pageBytes *= 2) {
    const second = await readHead(file, pageBytes);
    if (second !== undefined) return [second];
  }
  return [];
}

async function readHead(file: FileHandle, position: number): Promise<Head | undefined> {
  const bytes = Buffer.alloc(HEAD_BYTES);
  const { bytesRead } = await file.read(bytes, 0, HEAD_BYTES, position);
  if (bytesRead < HEAD_BYTES || bytes.readUInt32LE(MAGIC_AT) !== MAGIC) return undefined;
  const pageBytes = bytes.readUInt32LE(PAGE_SIZE_AT);
  if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX) return undefined;
  return {
    pageBytes,
    lastPage: Number(bytes.readBigUInt64LE(LAST_PAGE_AT)),
    transaction: Number(bytes.readBigUInt64LE(TRANSACTION_AT)),
  };
}
