// LogFiles on real files. No policy and no retries here: what an error means is decided by who asked.
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, statfs, unlink, type FileHandle } from 'node:fs/promises';
import type { LogFile, LogFiles } from './log-files.ts';

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
};
