// Tells a data folder that was copied or put back from a copy from the one that it was. A copy of yesterday that is written on
// is another history than today's, and a reader with a position from today must be told so. A file in the folder that is made
// once says which folder it is: the moment of its making (by the file system, which no copy can set) is kept in the index,
// which a copy takes along, and the copy's file has another. A snapshot of the whole disk keeps both, so an operator can say it as well: by
// a file named `restored`.
import { open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode } from './log-files.ts';

const MARK = 'folder-id';
const RESTORED = 'restored';

/** The same for as long as the folder is the same; makes its mark where it has none. */
export async function readFolderIdentity(folder: string): Promise<string> {
  const path = join(folder, MARK);
  try {
    await (await open(path, 'wx', 0o600)).close();
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  }
  const { birthtimeNs, ino } = await stat(path, { bigint: true });
  // A file system without times of making has inodes, which a copy mostly does not share.
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

/** Once the new history is on record. */
export async function removeRestoredMark(folder: string): Promise<void> {
  await unlink(join(folder, RESTORED));
}
