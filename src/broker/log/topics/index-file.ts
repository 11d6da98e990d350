// Checks the index's file before lmdb maps it: lmdb trusts the file's heads, and a file that is cut off or overwritten
// would end the process by a signal, without a message. Changes nothing.
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BrokerError } from '../../errors.ts';
import { isCode } from '../disk/log-files.ts';

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

/** @throws BrokerError corrupt */
export async function checkIndexFile(folder: string): Promise<void> {
  const path = join(folder, 'data.mdb');
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size > 0) checkHeads(path, size, await readHeads(file));
  } finally {
    await file.close();
  }
}

function checkHeads(path: string, size: number, heads: readonly Head[]): void {
  const newest = heads.reduce<Head | undefined>(
    (best, head) => (best === undefined || head.transaction > best.transaction ? head : best),
    undefined,
  );
  if (newest === undefined) throw damaged(path, 'both of its heads are damaged');
  const needed = (newest.lastPage + 1) * newest.pageBytes;
  if (size < needed) throw damaged(path, `it ends at byte ${size} and must have ${needed}`);
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

function damaged(path: string, what: string): BrokerError {
  return new BrokerError(
    'corrupt',
    `the index ${path} is damaged: ${what}. The log beside it was not touched; restore the whole data folder from a copy`,
  );
}
