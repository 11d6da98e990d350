// The changes to one file since its last flush, with the bytes that undo them. There is one journal for each path,
// because a file is opened for writing and for reading at once, and again by the next process run.
import { open } from 'node:fs/promises';
import type { LogFile } from '../../src/broker/log/disk/log-files.ts';
import type { Random } from './random.ts';

interface Change {
  /** The size of the file before the change. */
  readonly oldSize: number;
  /** The bytes that were there before, from `position` to `oldSize` at most. */
  readonly position: number;
  readonly old: Uint8Array;
  /** The number of bytes written; 0 for a truncation. */
  readonly written: number;
  /** A failed flush marked these pages clean: no later flush writes them. */
  isLost: boolean;
}

export class FileJournal {
  readonly #path: string;
  #changes: Change[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  get length(): number {
    return this.#changes.length;
  }

  async write(file: LogFile, bytes: Uint8Array, position: number): Promise<void> {
    const oldSize = await file.size();
    const old = await readRange(file, position, Math.min(oldSize, position + bytes.length));
    this.#changes.push({ oldSize, position, old, written: bytes.length, isLost: false });
    for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done), position + done);
  }

  async truncate(file: LogFile, length: number): Promise<void> {
    const oldSize = await file.size();
    this.#changes.push({
      oldSize,
      position: length,
      old: await readRange(file, length, oldSize),
      written: 0,
      isLost: false,
    });
    await file.truncate(length);
  }

  /** Marks the first `count` changes durable, except those that a failed flush lost. */
  synced(count: number): void {
    this.#changes = this.#changes.filter((change, i) => i >= count || change.isLost);
  }

  /** Marks every change that is not durable as lost: no later flush can make it durable. */
  lose(): void {
    for (const change of this.#changes) change.isLost = true;
  }

  /** Cuts the power: a random prefix of the changes stays, and the next change stays in part. */
  async cut(random: Random): Promise<void> {
    const changes = this.#changes;
    this.#changes = [];
    if (changes.length === 0) return;
    const firstLost = changes.findIndex((change) => change.isLost);
    const kept = random.between(0, firstLost < 0 ? changes.length : firstLost);
    const file = await open(this.#path, 'r+');
    try {
      for (const change of changes.slice(kept + 1).reverse()) await undo(file, change);
      const torn = changes[kept];
      if (torn !== undefined) await tear(file, torn, random);
    } finally {
      await file.close();
    }
  }
}

type Handle = Awaited<ReturnType<typeof open>>;

async function undo(file: Handle, { old, oldSize, position }: Change): Promise<void> {
  if (old.length > 0) await file.write(old, 0, old.length, position);
  await file.truncate(oldSize);
}

/** Keeps a random prefix of the write, because a device writes its sectors in any order. Behind the prefix the old
 *  bytes are back; past the old end of the file, the file ends or reads as zeros. */
async function tear(file: Handle, change: Change, random: Random): Promise<void> {
  if (change.written === 0 || random.chance(0.2)) return undo(file, change);
  const there = random.between(0, change.written - 1);
  const old = change.old.subarray(there);
  if (old.length > 0) await file.write(old, 0, old.length, change.position + there);
  const end = change.position + change.written;
  const kept = Math.max(change.oldSize, change.position + there);
  if (kept >= end) return;
  await file.truncate(kept);
  if (random.chance(0.3)) await file.truncate(end);
}

async function readRange(file: LogFile, from: number, to: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, to - from));
  for (let done = 0; done < bytes.length;) {
    const count = await file.read(bytes.subarray(done), from + done);
    if (count === 0) return bytes.subarray(0, done);
    done += count;
  }
  return bytes;
}
