// Real files that a test can make fail: delay a flush, fail it, run out of room, accept only a part of a write. Keeps a
// trace of what reached the system, in order.
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { nodeLogFiles, type LogFile, type LogFiles } from '../../../src/broker/log/disk/log-files.ts';

export class SystemError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export class FaultyFiles implements LogFiles {
  readonly trace: string[] = [];
  bytesRead = 0;
  /** Bytes that the device still accepts. */
  room = Number.POSITIVE_INFINITY;
  /** The most bytes that one write accepts. */
  writeBytesMax = Number.POSITIVE_INFINITY;
  failSync: string | undefined;
  failWrite: string | undefined;
  failRead: string | undefined;
  /** The name of a file whose close fails. The file is closed all the same. */
  failClose: string | undefined;
  readonly closed: string[] = [];
  #held: { readonly what: 'flush' | 'write' | 'read'; readonly until: Promise<void> } | undefined;
  #release: (() => void) | undefined;
  #waiting: (() => void)[] = [];

  /** Flushes, or writes, wait until `release`. So does the next read, but not those after it. */
  hold(what: 'flush' | 'write' | 'read'): void {
    this.#held = { what, until: new Promise((resolve) => (this.#release = resolve)) };
  }

  release(): void {
    this.#release?.();
    this.#held = undefined;
  }

  /** Resolves when a flush, a write, or the read is waiting. */
  reached(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  count(what: string): number {
    return this.trace.filter((line) => line.startsWith(what)).length;
  }

  async open(path: string, mode: 'create' | 'write' | 'read'): Promise<LogFile> {
    // A new name needs room as well.
    if (mode === 'create' && this.room <= 0) throw new SystemError('ENOSPC');
    const file = await nodeLogFiles.open(path, mode);
    this.trace.push(`open:${mode} ${basename(path)}`);
    return this.#faulty(file, basename(path));
  }

  makeFolder(path: string): Promise<void> {
    return nodeLogFiles.makeFolder(path);
  }

  list(folder: string): Promise<readonly string[]> {
    return nodeLogFiles.list(folder);
  }

  async unlink(path: string): Promise<void> {
    const { size } = await stat(path);
    await nodeLogFiles.unlink(path);
    this.room += size;
    this.trace.push(`unlink ${basename(path)}`);
  }

  async rename(from: string, to: string): Promise<void> {
    await nodeLogFiles.rename(from, to);
    this.trace.push(`rename ${basename(from)}`);
  }

  async syncFolder(path: string): Promise<void> {
    await nodeLogFiles.syncFolder(path);
    this.trace.push(`syncFolder ${basename(path)}`);
  }

  deviceBytes(folder: string): Promise<number> {
    return nodeLogFiles.deviceBytes(folder);
  }

  freeBytes(folder: string): Promise<number> {
    return nodeLogFiles.freeBytes(folder);
  }

  async #pass(what: 'flush' | 'write' | 'read'): Promise<void> {
    const held = this.#held;
    if (held?.what !== what) return;
    if (what === 'read') this.#held = undefined;
    for (const reached of this.#waiting.splice(0)) reached();
    await held.until;
  }

  #faulty(file: LogFile, name: string): LogFile {
    return {
      write: async (bytes, position) => {
        await this.#pass('write');
        if (this.failWrite !== undefined) throw new SystemError(this.failWrite);
        // Overwritten bytes need no room.
        const size = await file.size();
        const fits = Math.max(0, size - position) + this.room;
        if (fits <= 0) throw new SystemError('ENOSPC');
        const taken = bytes.subarray(0, Math.min(bytes.length, fits, this.writeBytesMax));
        const count = await file.write(taken, position);
        this.room -= Math.max(0, position + count - size);
        this.trace.push(`write ${name}`);
        return count;
      },
      read: async (into, position) => {
        await this.#pass('read');
        if (this.failRead !== undefined) throw new SystemError(this.failRead);
        const count = await file.read(into, position);
        this.bytesRead += count;
        return count;
      },
      datasync: async () => {
        await this.#pass('flush');
        if (this.failSync !== undefined) throw new SystemError(this.failSync);
        await file.datasync();
        this.trace.push(`datasync ${name}`);
      },
      truncate: async (length) => {
        const size = await file.size();
        await file.truncate(length);
        this.room += size - length;
        this.trace.push(`truncate ${name}`);
      },
      size: () => file.size(),
      close: async () => {
        await file.close();
        this.closed.push(name);
        if (this.failClose === name) throw new SystemError('EIO');
      },
    };
  }
}
