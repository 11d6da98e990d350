// The log's only access to the file system: a few calls, so that tests can refuse space, cut writes short, fail a flush
// or delay one, and can trace what reaches the disk.
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, statfs, unlink, type FileHandle } from 'node:fs/promises';

export interface LogFile {
  /** Writes at least one byte and returns the number of bytes written, which may be fewer than given. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Reads up to `into.length` bytes and returns their number; 0 at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** When it resolves, the data and the size of the file are on the device. */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface LogFiles {
  /** `create` fails if the file exists. */
  open(path: string, mode: 'create' | 'write' | 'read'): Promise<LogFile>;
  /** Makes the folder and its parents. */
  makeFolder(path: string): Promise<void>;
  /** Names, not paths. */
  list(folder: string): Promise<readonly string[]>;
  unlink(path: string): Promise<void>;
  /** Replaces a file that has the name `to`. */
  rename(from: string, to: string): Promise<void>;
  /** Makes the creations and removals of names in the folder durable. */
  syncFolder(path: string): Promise<void>;
  /** The size of the device that holds the folder; 0 if the file system does not report it. */
  deviceBytes(folder: string): Promise<number>;
  /** The bytes of the device that this process may still use. */
  freeBytes(folder: string): Promise<number>;
}

/** The system's errors that the engine handles. */
export type SystemCode =
  | 'EACCES'
  | 'EADDRINUSE'
  | 'ECONNREFUSED'
  | 'EEXIST'
  | 'EINVAL'
  | 'EIO'
  | 'EISDIR'
  | 'EMFILE'
  | 'ENOENT'
  | 'ENOSPC'
  | 'ENOTDIR'
  | 'EOPNOTSUPP'
  | 'EPERM'
  | 'EROFS'
  | 'ESRCH';

/** Matches on the code; on the text only for lmdb, which puts the system's message into its own error. ENOSPC covers
 *  every way in which a device refuses more bytes. */
export function isCode(error: unknown, code: SystemCode): boolean {
  if (!(error instanceof Error)) return false;
  if (code === 'ENOSPC' && /no space left|quota exceeded|MDB_MAP_FULL/i.test(error.message)) return true;
  return 'code' in error && (error.code === code || (code === 'ENOSPC' && error.code === 'EDQUOT'));
}

const FLAGS = {
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  write: constants.O_RDWR,
  read: constants.O_RDONLY,
};

class NodeLogFile implements LogFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.write(bytes, 0, bytes.length, position)).bytesWritten;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(into, 0, into.length, position)).bytesRead;
  }

  datasync(): Promise<void> {
    return this.#handle.datasync();
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** The real files. There are no retries here, and the caller decides what an error means. */
export const nodeLogFiles: LogFiles = {
  async open(path, mode) {
    return new NodeLogFile(await open(path, FLAGS[mode], 0o600));
  },

  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },

  list(folder) {
    return readdir(folder);
  },

  unlink(path) {
    return unlink(path);
  },

  rename(from, to) {
    return rename(from, to);
  },

  async syncFolder(path) {
    const folder = await open(path, constants.O_RDONLY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },

  async deviceBytes(folder) {
    const { blocks, bsize } = await statfs(folder);
    return blocks * bsize;
  },

  async freeBytes(folder) {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  },
};
