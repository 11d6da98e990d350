// Frees the room of removed records on a full device, in segments that also hold live records. A chat's records are
// between those of other chats, and some records (the lists of chats) live for years, so on most logs few segments ever
// die whole. Thinning copies the pages that hold live records into a file with holes, each page to the same byte
// position, and gives that file the segment's name: no record moves, and the index stays as it is. It runs only right
// after a checkpoint, and only on segments before it: the index holds everything live in them then, and from there on
// that can only become less. Costs nothing while there is room.
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { DiskReserve } from '../disk/disk-reserve.ts';
import { type LogFile, type LogFiles, isCode } from '../disk/log-files.ts';
import { RecordChunk } from '../topics/record-chunk.ts';
import type { Segments } from '../disk/segments.ts';
import type { TopicIndex } from '../topics/topic-index.ts';

const SUFFIX = '.thin';
const PAGE_BYTES = 4096;
/** Pages copied with one read. */
const COPY_PAGES = 256;
/** Chunks read from the index in one turn of the event loop. */
const CHUNKS_A_TURN = 64;

/** The pages of a segment that hold live records. */
interface LivePages {
  readonly id: number;
  readonly size: number;
  readonly pages: Uint8Array;
}

export class SegmentThinning {
  readonly #files: LogFiles;
  readonly #segments: Segments;
  readonly #index: TopicIndex;
  readonly #reserve: DiskReserve;
  /** The last run lacked room or descriptors: the next one comes with a checkpoint that is due anyway. */
  #hasGivenUp = false;

  constructor(files: LogFiles, segments: Segments, index: TopicIndex, reserve: DiskReserve) {
    this.#files = files;
    this.#segments = segments;
    this.#index = index;
    this.#reserve = reserve;
  }

  /** Removes copies that a crash left behind. */
  async removeLeftovers(): Promise<void> {
    const { folder } = this.#segments;
    for (const name of await this.#files.list(folder))
      if (name.endsWith(SUFFIX)) await this.#files.unlink(join(folder, name));
  }

  /** `before`: the segment that holds the position of the last checkpoint. */
  isWorthIt(before: number): boolean {
    return !this.#hasGivenUp && this.#segments.thinnable(before, this.#spendable).length > 0;
  }

  /** Call it in the turn of the event loop in which a checkpoint became durable, or later, and before the next one
   *  begins. */
  async run(before: number): Promise<void> {
    this.#hasGivenUp = false;
    const ids = this.#segments.thinnable(before, this.#spendable);
    if (ids.length === 0) return;
    try {
      await this.removeLeftovers();
      await this.#thinAll(ids);
    } catch (error) {
      if (!isCode(error, 'ENOSPC') && !isCode(error, 'EMFILE')) throw error;
      this.#hasGivenUp = true;
    }
  }

  async #thinAll(ids: readonly number[]): Promise<void> {
    const found: LivePages[] = [];
    for (const id of ids) {
      const size = await this.#sizeOf(id);
      if (size === undefined) continue;
      const pages = new Uint8Array(Math.ceil(size / PAGE_BYTES));
      // The page of the segment's head.
      pages[0] = 1;
      found.push({ id, size, pages });
    }
    await this.#markLive(new Map(found.map((one) => [one.id, one])));
    for (const one of found) {
      if (this.#isWorthCopying(one)) await this.#thin(one);
      this.#segments.noteThinned(one.id);
    }
  }

  /** Bytes that thinning may use of the reserve. A copy must fit beside the segment; the other half is for other
   *  work. */
  get #spendable(): number {
    return this.#reserve.bytesLeft / 2;
  }

  /** Undefined if the file is missing. */
  async #sizeOf(id: number): Promise<number | undefined> {
    const file = await this.#openToRead(id);
    if (file === undefined) return undefined;
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  }

  async #openToRead(id: number): Promise<LogFile | undefined> {
    try {
      return await this.#files.open(this.#segments.path(id), 'read');
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      this.#segments.noteMissing(id);
      return undefined;
    }
  }

  async #markLive(segments: ReadonlyMap<number, LivePages>): Promise<void> {
    let after: Buffer | undefined;
    do {
      let left = CHUNKS_A_TURN;
      const start = after;
      after = undefined;
      for (const { key, value } of this.#index.chunksFrom(start)) {
        if (left === 0) {
          after = key;
          break;
        }
        left -= 1;
        markChunk(RecordChunk.decode(0, value), segments);
      }
      await setImmediate();
    } while (after !== undefined);
  }

  #isWorthCopying({ pages }: LivePages): boolean {
    const live = pages.reduce((sum, page) => sum + page, 0);
    return live <= pages.length / 2 && live * PAGE_BYTES <= this.#spendable;
  }

  async #thin(one: LivePages): Promise<void> {
    const path = this.#segments.path(one.id);
    const copy = path + SUFFIX;
    const isWhole = await this.#reserve.use(() => this.#copy(path, copy, one));
    if (!isWhole || !(await this.#segments.replace(one.id, copy))) await this.#files.unlink(copy);
  }

  /** False: the segment cannot be read whole; a reader of the segment gets that error. If it throws, it leaves no
   *  copy. */
  async #copy(from: string, to: string, one: LivePages): Promise<boolean> {
    const source = await this.#files.open(from, 'read');
    try {
      const target = await this.#files.open(to, 'create');
      try {
        const isWhole = await copyPages(source, target, one);
        if (isWhole) await target.datasync();
        await target.close();
        return isWhole;
      } catch (error) {
        await target.close();
        await this.#files.unlink(to);
        throw error;
      }
    } finally {
      await source.close();
    }
  }
}

function markChunk(chunk: RecordChunk, segments: ReadonlyMap<number, LivePages>): void {
  for (let slot = 0; slot < chunk.count; slot++) {
    if (chunk.holeBy(slot) >= 0) continue;
    const { segment, position, length } = chunk.location(slot);
    const found = segments.get(segment);
    found?.pages.fill(1, Math.floor(position / PAGE_BYTES), Math.ceil((position + length) / PAGE_BYTES));
  }
}

async function copyPages(source: LogFile, target: LogFile, { size, pages }: LivePages): Promise<boolean> {
  for (let page = 0; page < pages.length;) {
    if (pages[page] === 0) {
      page += 1;
      continue;
    }
    let end = page + 1;
    while (end < pages.length && pages[end] === 1 && end - page < COPY_PAGES) end += 1;
    const bytes = await readWhole(source, page * PAGE_BYTES, Math.min(end * PAGE_BYTES, size));
    if (bytes === undefined) return false;
    for (let done = 0; done < bytes.length;) done += await target.write(bytes.subarray(done), page * PAGE_BYTES + done);
    page = end;
  }
  // Keeps the length, also when the end of the file is not live.
  await target.truncate(size);
  return true;
}

async function readWhole(file: LogFile, from: number, to: number): Promise<Buffer | undefined> {
  const bytes = Buffer.allocUnsafe(to - from);
  try {
    for (let done = 0; done < bytes.length;) {
      const count = await file.read(bytes.subarray(done), from + done);
      if (count === 0) return undefined;
      done += count;
    }
  } catch {
    return undefined;
  }
  return bytes;
}
