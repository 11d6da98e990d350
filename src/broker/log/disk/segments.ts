// The segment files of a log: which exist, how many live bytes each holds, reading from them, and removing those that
// hold none. log-writer.ts writes them. A segment keeps its file open while a reader uses it, so that its removal does
// not disturb the reader.
import { join } from 'node:path';
import { BrokerError } from '../../errors.ts';
import { isCode, type LogFile, type LogFiles } from './log-files.ts';
import { runEvery } from './run-every.ts';

const SUFFIX = '.seg';
const NAME = /^[0-9]{16}\.seg$/;

interface Segment {
  readonly id: number;
  /** The number of live records plus their bytes. A record to which no topic points is dead. */
  live: number;
  /** `live` when the segment was last considered for thinning (segment-thinning.ts). */
  thinnedLive: number;
  sealed: boolean;
  file: Promise<LogFile> | undefined;
  readers: number;
}

/** A segment that is in use: its file stays. */
export interface AcquiredSegment {
  /** @throws BrokerError corrupt: the file is missing or ends before */
  read(position: number, length: number): Promise<Buffer>;
  release(): Promise<void>;
}

export class Segments {
  readonly folder: string;
  readonly #files: LogFiles;
  readonly #openMax: number;
  readonly #segments = new Map<number, Segment>();
  /** Segments with live records whose file is missing. */
  readonly #missing = new Set<number>();

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

  /** Segments with live records whose file is missing, as far as it was noticed. */
  get missing(): ReadonlySet<number> {
    return this.#missing;
  }

  /** The file of the segment is missing: records in it are `corrupt`. */
  noteMissing(id: number): void {
    if ((this.#segments.get(id)?.live ?? 0) > 0) this.#missing.add(id);
  }

  seal(id: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.sealed = true;
  }

  /** `change`: the records and bytes by which the segment's live part grows or shrinks. */
  count(id: number, change: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.live += change;
  }

  table(): readonly { readonly id: number; readonly live: number }[] {
    return [...this.#segments.values()].map(({ id, live }) => ({ id, live }));
  }

  /** Sealed segments before `limit` that hold no live record and have no reader. */
  dead(limit: number): number[] {
    const isDead = (one: Segment): boolean => one.sealed && one.live <= 0 && one.readers === 0 && one.id < limit;
    return [...this.#segments.values()].filter(isDead).map(({ id }) => id);
  }

  /** Sealed segments before `limit` whose live part is at most `liveMax`, and at most half of what it was when they
   *  were last considered. Skips segments with a reader: its read was planned earlier and may need records that have
   *  died since. */
  thinnable(limit: number, liveMax: number): number[] {
    const isThinnable = (one: Segment): boolean =>
      one.sealed &&
      one.readers === 0 &&
      one.id < limit &&
      one.live > 0 &&
      !this.#missing.has(one.id) &&
      one.live <= liveMax &&
      one.live <= one.thinnedLive / 2;
    return [...this.#segments.values()].filter(isThinnable).map(({ id }) => id);
  }

  noteThinned(id: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.thinnedLive = segment.live;
  }

  /** The file at `path` replaces the segment's file. Readers keep the file that they have open. */
  async replace(id: number, path: string): Promise<boolean> {
    const segment = this.#segments.get(id);
    if (segment === undefined) return false;
    await this.#files.rename(path, this.path(id));
    await this.#files.syncFolder(this.folder);
    if (segment.readers === 0) await closeFile(segment);
    return true;
  }

  /** Only after a checkpoint that no longer points to these segments is durable. */
  async unlink(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    for (const id of ids) {
      const segment = this.#segments.get(id);
      this.#segments.delete(id);
      if (segment !== undefined) await closeFile(segment);
      await this.#unlinkOne(id);
    }
    await this.#files.syncFolder(this.folder);
  }

  async #unlinkOne(id: number): Promise<void> {
    try {
      await this.#files.unlink(this.path(id));
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
    this.#missing.delete(id);
  }

  /** Keeps the segment's file until `release`, even if the segment dies meanwhile. */
  acquire(id: number): AcquiredSegment {
    const segment = this.#segments.get(id);
    if (segment === undefined) return { read: () => Promise.reject(missing(id)), release: () => Promise.resolve() };
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
    const opening = this.#openFile(segment.id);
    // A failed open must not be kept: the next read tries again.
    opening.catch(() => (segment.file = undefined));
    // Keeps the least recently opened first; idle files are closed in that order.
    this.#segments.delete(segment.id);
    this.#segments.set(segment.id, segment);
    return opening;
  }

  async #openFile(id: number): Promise<LogFile> {
    try {
      const file = await this.#files.open(this.path(id), 'read');
      this.#missing.delete(id);
      return file;
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      this.noteMissing(id);
      throw missing(id);
    }
  }

  async #closeIdle(): Promise<void> {
    const open = [...this.#segments.values()].filter((one) => one.file !== undefined);
    for (const one of open.slice(0, Math.max(0, open.length - this.#openMax))) {
      if (one.readers === 0) await closeFile(one);
    }
  }

  async close(): Promise<void> {
    await runEvery([...this.#segments.values()].map((segment) => () => closeFile(segment)));
  }
}

function missing(id: number): BrokerError {
  return new BrokerError('corrupt', `segment ${id} is missing`);
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
    if (count === 0) throw new BrokerError('corrupt', `segment ${id} ends at byte ${position + done}`);
    done += count;
  }
  return buffer;
}

/** The ids of the segment files in the folder, ascending. */
export async function listSegments(files: LogFiles, folder: string): Promise<number[]> {
  const names = await files.list(folder);
  return names
    .filter((name) => NAME.test(name))
    .map((name) => Number(name.slice(0, -SUFFIX.length)))
    .sort((a, b) => a - b);
}
