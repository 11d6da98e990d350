// Ensures that one process owns a data folder. On Linux two names mark the owner, and the kernel frees both when the
// process dies, for any reason. One is a name in the abstract socket namespace, made of the folder's device and inode:
// it decides among processes of one network namespace. The other is a socket in the folder, which processes of other
// network namespaces see too (two containers on one volume). The socket's file outlives its process, so the file alone
// proves nothing: a connection to it succeeds only while a process listens. On other systems, the lock is a file made
// with O_EXCL that names its process. A second process that cannot see the lock (another machine on a shared disk) is
// not stopped; the owner's mark in the index then stops the first process.
import { open, readFile, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { BrokerError } from '../../errors.ts';
import { isCode } from './log-files.ts';
import { runEvery } from './run-every.ts';

const SOCKET_NAME = 'lock.sock';

export interface FolderLock {
  release(): Promise<void>;
}

/** @throws BrokerError locked */
export async function lockFolder(folder: string): Promise<FolderLock> {
  if (process.platform !== 'linux') return lockByFile(join(folder, 'lock'));
  const abstract = await lockByName(folder);
  try {
    const socket = await lockBySocket(folder);
    return {
      async release() {
        await runEvery([() => socket?.release(), () => abstract.release()]);
      },
    };
  } catch (error) {
    await abstract.release();
    throw error;
  }
}

async function lockByName(folder: string): Promise<FolderLock> {
  const { dev, ino } = await stat(folder);
  try {
    return held(await listen(`\0holdline:${dev}:${ino}`));
  } catch (error) {
    throw isCode(error, 'EADDRINUSE') ? lockedBy(folder, error) : error;
  }
}

/** Undefined if the file system has no sockets. */
async function lockBySocket(folder: string): Promise<FolderLock | undefined> {
  // The address of a socket has room for 107 bytes, and the folder's own path may be longer.
  const handle = await open(folder, 'r');
  const path = `/proc/self/fd/${handle.fd}/${SOCKET_NAME}`;
  try {
    const lock = held(await listenAt(path, folder));
    return {
      async release() {
        await runEvery([() => lock.release(), () => handle.close()]);
      },
    };
  } catch (error) {
    await handle.close();
    if (isCode(error, 'EPERM') || isCode(error, 'EOPNOTSUPP') || isCode(error, 'EINVAL')) return undefined;
    throw error;
  }
}

async function listenAt(path: string, folder: string): Promise<Server> {
  try {
    return await listen(path);
  } catch (error) {
    if (!isCode(error, 'EADDRINUSE') || (await isListening(path)))
      throw isCode(error, 'EADDRINUSE') ? lockedBy(folder, error) : error;
  }
  await unlink(path);
  try {
    return await listen(path);
  } catch (error) {
    throw isCode(error, 'EADDRINUSE') ? lockedBy(folder, error) : error;
  }
}

/** A refused connection means that no process listens. After any other error there may be one. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => resolve(!isCode(error, 'ECONNREFUSED')));
  });
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, exclusive: true }, () => resolve(server));
  });
}

/** The server is not unref'd: the clock's timers do not keep a process alive, so a process whose last append waits
 *  for its commit would otherwise exit without an error. An open folder keeps the process alive until it is closed. */
function held(server: Server): FolderLock {
  return { release: () => new Promise((resolve) => void server.close(() => resolve())) };
}

async function lockByFile(path: string): Promise<FolderLock> {
  try {
    const handle = await open(path, 'wx', 0o600);
    await handle.writeFile(String(process.pid));
    await handle.close();
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    if (await isHeldByLiving(path)) throw lockedBy(path, error);
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

function lockedBy(path: string, cause: unknown): BrokerError {
  return new BrokerError(
    'locked',
    `another process holds ${path}: usually a server that was started there before and still runs; stop it, or set HOLDLINE_BROKER to another folder`,
    { cause },
  );
}
