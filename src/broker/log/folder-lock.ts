// One process owns a data folder. On Linux the lock is a name in the abstract socket namespace, made of the folder's
// device and inode: the kernel gives it back when the process dies, however it dies, so no stale lock ever has to
// be judged. Elsewhere: a file made with O_EXCL that names its process.
import { open, readFile, stat, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { BrokerError } from '../errors.ts';
import { isCode } from './device-errors.ts';

export interface FolderLock {
  release(): Promise<void>;
}

/** @throws BrokerError locked */
export async function lockFolder(folder: string): Promise<FolderLock> {
  return process.platform === 'linux' ? lockBySocket(folder) : lockByFile(join(folder, 'lock'));
}

async function lockBySocket(folder: string): Promise<FolderLock> {
  const { dev, ino } = await stat(folder);
  const server = createServer((socket) => socket.destroy());
  try {
    await listening(server, `\0holdline:${dev}:${ino}`);
  } catch (error) {
    throw refused(error, 'EADDRINUSE', folder);
  }
  // Not unref'd: the clock's timers do not keep a process alive, and one whose last append waits for its commit
  // would otherwise end in silence. An open folder does, until it is closed.
  return { release: () => new Promise((resolve) => void server.close(() => resolve())) };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, exclusive: true }, resolve);
  });
}

async function lockByFile(path: string): Promise<FolderLock> {
  try {
    const handle = await open(path, 'wx', 0o600);
    await handle.writeFile(String(process.pid));
    await handle.close();
  } catch (error) {
    if (!isCode(error, 'EEXIST') || (await isHeldByLiving(path))) throw refused(error, 'EEXIST', path);
    await unlink(path);
    return lockByFile(path);
  }
  return { release: () => unlink(path) };
}

async function isHeldByLiving(path: string): Promise<boolean> {
  const holder = Number(await readFile(path, 'utf8'));
  if (!Number.isInteger(holder) || holder <= 0) return true;
  try {
    process.kill(holder, 0);
    return true;
  } catch (error) {
    return !isCode(error, 'ESRCH');
  }
}

function refused(error: unknown, code: 'EEXIST' | 'EADDRINUSE', path: string): unknown {
  if (!isCode(error, code)) return error;
  return new BrokerError('locked', `another process holds ${path}`, { cause: error });
}
