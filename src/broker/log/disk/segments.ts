// The segment files of a log: which there are, how many live bytes each still holds, reading frames out of them,
// and unlinking those that hold none. Writing is log-writer.ts. A segment that is being read keeps its file open
// until the read is done, so that unlinking it under a reader harms nobody.
import { join } from 'node:path';
import { BrokerError } from '../../errors.ts';
import type { LogFile, LogFiles } from './log-files.ts';

const SUFFIX = '.seg';
const NAME = /^[0-9]{16}\.seg$/;

interface Segment {
  readonly id: number;
  /** A count of records and their bytes: what no topic points to any more is dead. */
  live: number;
  /** What lived when it was last looked at for thinning (segment-thinning.ts). */
  thinnedLive: number;
  sealed: boolean;
  file: Promise<LogFile> | undefined;
  readers: number;
}

export class Segments {
  readonly folder: string;
  readonly #files: LogFiles;
  readonly #openMax: number;
  readonly #segments = new Map<number, Segment>();

  constructor(files: LogFiles, folder: string, openMax: number) {
    this.#files = files;
    this.folder = folder;
    this.#openMax = openMax;
  }

  path(id: number): string {
    return join(this.folder, String(id).padStart(16, '0') + SUFFIX);
  }

  add(id: number, live: number, sealed: boolean): void {
    this.#segments.set(id, { id, live, thinnedLive: Infinity, sealed, file: undefined, readers: 0 });
  }

  seal(id: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.sealed = true;
  }

  /** By how many records and bytes the segment's live part has grown or shrunk. */
  count(id: number, change: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.live += change;
  }

  table(): readonly { readonly id: number; readonly live: number }[] {
    return [...this.#segments.values()].map(({ id, live }) => ({ id, live }));
  }

  /** Sealed ones before `limit` that hold nothing any more, and that nobody is reading. */
  dead(limit: number): number[] {
    const isDead = (one: Segment): boolean => one.sealed && one.live <= 0 && one.readers === 0 && one.id < limit;
    return [...this.#segments.values()].filter(isDead).map(({ id }) => id);
  }

  /** Sealed ones before `limit` in which at most `liveMax` lives, and not half of what lived when it was last looked at. One
   *  that is being read is left out: the read was planned before, and may want what has died since. */
  thinnable(limit: number, liveMax: number): number[] {
    const isThinnable = (one: Segment): boolean =>
      one.sealed &&
      one.readers === 0 &&
      one.id < limit &&
      one.live > 0 &&
      one.live <= liveMax &&
      one.live <= one.thinnedLive / 2;
    return [...this.#segments.values()].filter(isThinnable).map(({ id }) => id);
  }

  noteThinned(id: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.thinnedLive = segment.live;
  }

  /** The file at `path` takes the segment's place. Readers keep the one that they have open. */
  async replace(id: number, path: string): Promise<boolean> {
    const segment = this.#segments.get(id);
    if (segment === undefined) return false;
    await this.#files.rename(path, this.path(id));
    await this.#files.syncFolder(this.folder);
    if (segment.readers === 0) await closeFile(segment);
    return true;
  }

  /** Only after a checkpoint that no longer points here is durable. */
  async unlink(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    for (const id of ids) {
      const segment = this.#segments.get(id);
      this.#segments.delete(id);
      if (segment !== undefined) await closeFile(segment);
      await this.#files.unlink(this.path(id));
    }
    await this.#files.syncFolder(this.folder);
  }

  /** From now until its `release` the segment's file stays, however dead it becomes. @throws BrokerError corrupt */
  acquire(id: number): { read(position: number, length: number): Promise<Buffer>; release(): Promise<void> } {
    const segment = this.#segments.get(id);
    if (segment === undefined) throw new BrokerError('corrupt', `segment ${id} is missing`);
    segment.readers += 1;
    return {
      read: async (position, length) => {
        segment.file ??= this.#open(segment);
        return readFully(await segment.file, position, length, id);
      },
      release: async () => {
        segment.readers -= 1;
        await this.#closeIdle();
      },
    };
  }

  #open(segment: Segment): Promise<LogFile> {
    const opening = this.#files.open(this.path(segment.id), 'read');
    // A failed open must not be remembered: the next read tries again.
    opening.catch(() => (segment.file = undefined));
    // Least recently opened first, which is where idle ones are looked for.
    this.#segments.delete(segment.id);
    this.#segments.set(segment.id, segment);
    return opening;
  }

  async #closeIdle(): Promise<void> {
    const open = [...this.#segments.values()].filter((one) => one.file !== undefined);
    for (const one of open.slice(0, Math.max(0, open.length - this.#openMax))) {
      if (one.readers === 0) await closeFile(one);
    }
  }

  async close(): Promise<void> {
    for (const segment of this.#segments.values()) await closeFile(segment);
  }
}

async function closeFile(segment: Segment): Promise<void> {
  const file = segment.file;
  segment.file = undefined;
  await (await file)?.close();
}

async function readFully(file: LogFile, position: number, length: number, id: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const count = await file.read(buffer.subarray(done), position + done);
    if (count === 0) throw new BrokerError('corrupt', `segment ${id} ends before byte ${position + length}`);
    done += count;
  }
  return buffer;
}

/** Ids of the segment files in the folder, ascending. */
export async function listSegments(files: LogFiles, folder: string): Promise<number[]> {
  const names = await files.list(folder);
  return names
    .filter((name) => NAME.test(name))
    .map((name) => Number(name.slice(0, -SUFFIX.length)))
    .sort((a, b) => a - b);
}
