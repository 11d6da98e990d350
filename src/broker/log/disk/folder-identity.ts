// Tells a data folder that was copied, or restored from a copy, from the original. A copy of yesterday that takes new
// writes is another history than today's, and a reader with a position from today must receive a reset. A file in the
// folder, made once, identifies the folder: the index keeps the time at which the file system made it. A copy takes the
// index along, but its file has another time, which no copy can set. A snapshot of the whole disk keeps both, so an
// operator can also mark the folder with a file named `restored`.
import { open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode } from './log-files.ts';

const MARK = 'folder-id';
const RESTORED = 'restored';

/** Returns the same text as long as the folder is the same; makes the mark if there is none. */
export async function readFolderIdentity(folder: string): Promise<string> {
  const path = join(folder, MARK);
  try {
    await (await open(path, 'wx', 0o600)).close();
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  }
  const { birthtimeNs, ino } = await stat(path, { bigint: true });
  // A file system without creation times has inodes, which a copy mostly does not share.
  return birthtimeNs > 0n ? `made ${birthtimeNs}` : `inode ${ino}`;
}

export async function isMarkedRestored(folder: string): Promise<boolean> {
  try {
    await stat(join(folder, RESTORED));
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Called once the new history is recorded. */
export async function removeRestoredMark(folder: string): Promise<void> {
  await unlink(join(folder, RESTORED));
}
