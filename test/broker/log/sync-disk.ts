// A small disk in memory with the synchronous calls of node:fs that the index thread uses for the copy of the index. It
// fails at a chosen operation, and a power cut keeps of each file only what was flushed and a random part of the rest,
// and of each folder the names of its last flush, or some of the later ones.
import type * as nodeFs from 'node:fs';
import type { CopierFiles } from '../../../src/broker/log/topics/index-copier.js';
import type { Random } from '../../worlds/random.ts';
import { SystemError } from './faulty-files.ts';

interface Inode {
  data: Buffer;
  durable: Buffer;
}

export class SyncDisk {
  readonly #random: Random;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  readonly #open = new Map<number, Inode | undefined>();
  #fds = 0;
  /** Operations that change the disk, so far. */
  operations = 0;
  /** The operation that fails, and every one after it: the process or the machine ends there. */
  endsAt = Infinity;
  /** From this operation on, nothing that takes room succeeds. */
  fullAt = Infinity;

  constructor(random: Random) {
    this.#random = random;
  }

  get files(): CopierFiles {
    const files = {
      openSync: (path: string, flags: string) => this.#openSync(path, flags),
      closeSync: (fd: number) => void this.#open.delete(fd),
      writeSync: (fd: number, bytes: Uint8Array, from: number, length: number, at: number) =>
        this.#write(fd, bytes.subarray(from, from + length), at),
      readSync: (fd: number, into: Uint8Array, from: number, length: number, at: number) => {
        const part = this.#inode(fd).data.subarray(at, at + length);
        into.set(part, from);
        return part.length;
      },
      ftruncateSync: (fd: number, length: number) => {
        this.#operate();
        const inode = this.#inode(fd);
        inode.data = Buffer.from(inode.data.subarray(0, length));
      },
      fdatasyncSync: (fd: number) => {
        this.#operate();
        const inode = this.#inode(fd);
        inode.durable = Buffer.from(inode.data);
      },
      fsyncSync: () => {
        this.#operate();
        this.#durableNames = new Map(this.#names);
      },
      fstatSync: (fd: number) => ({ size: this.#inode(fd).data.length }),
      statSync: () => ({ size: 0 }),
      statfsSync: () => ({ blocks: 0, bavail: 0, bsize: 0 }),
      renameSync: (from: string, to: string) => {
        this.#operate();
        const inode = this.#names.get(from);
        if (inode === undefined) throw new SystemError('ENOENT');
        this.#names.delete(from);
        this.#names.set(to, inode);
      },
      rmSync: (path: string) => {
        this.#operate();
        this.#names.delete(path);
      },
    };
    return files as unknown as typeof nodeFs;
  }

  bytes(path: string): Buffer | undefined {
    return this.#names.get(path)?.data;
  }

  put(path: string, data: Buffer): void {
    this.#names.set(path, { data, durable: data });
  }

  /** The process has ended, and its descriptors with it. */
  end(): void {
    this.endsAt = Infinity;
    this.#open.clear();
  }

  powerCut(): void {
    this.end();
    const names = new Map(this.#durableNames);
    for (const [path, inode] of this.#names) if (this.#random.chance(0.5)) names.set(path, inode);
    for (const path of names.keys()) if (!this.#names.has(path) && this.#random.chance(0.5)) names.delete(path);
    for (const inode of new Set(names.values())) {
      const { data, durable } = inode;
      const kept = Buffer.from(data.subarray(0, this.#random.between(0, data.length)));
      inode.data = kept.length > durable.length ? kept : Buffer.from(durable);
      inode.durable = inode.data;
    }
    this.#names = names;
    this.#durableNames = new Map(names);
  }

  #operate(takesRoom = false): void {
    this.operations += 1;
    if (this.operations >= this.endsAt) throw new SystemError('EIO');
    if (takesRoom && this.operations >= this.fullAt) throw new SystemError('ENOSPC');
  }

  #openSync(path: string, flags: string): number {
    let inode = this.#names.get(path);
    if (flags.startsWith('w')) {
      this.#operate(true);
      if (inode !== undefined) throw new SystemError('EEXIST');
      inode = { data: Buffer.alloc(0), durable: Buffer.alloc(0) };
      this.#names.set(path, inode);
    } else if (flags === 'r+' && inode === undefined) throw new SystemError('ENOENT');
    this.#fds += 1;
    this.#open.set(this.#fds, inode);
    return this.#fds;
  }

  #inode(fd: number): Inode {
    const inode = this.#open.get(fd);
    if (inode === undefined) throw new SystemError('EBADF');
    return inode;
  }

  /** May take only a part, as a device does. */
  #write(fd: number, bytes: Uint8Array, at: number): number {
    this.#operate(true);
    const inode = this.#inode(fd);
    const taken = this.#random.chance(0.2) && bytes.length > 1 ? bytes.subarray(0, bytes.length >> 1) : bytes;
    const data = Buffer.alloc(Math.max(inode.data.length, at + taken.length));
    inode.data.copy(data);
    data.set(taken, at);
    inode.data = data;
    return taken.length;
  }
}
