// Reads the log at start-up, from a position to its end, and decides what a damaged end means. The last batch of the
// last segment may be torn, and recovery cuts it off. Other damage in the part that it reads is damage to acknowledged
// records: recovery refuses the log and names the place, and never opens the log shorter than it was. It does not read
// the segments before that part. If one of their files is missing, the log opens, and records in that file are
// `corrupt`.
import { BrokerError } from '../../errors.ts';
import {
  BATCH_HEAD_BYTES,
  BATCH_MAGIC,
  decodeBatchHead,
  decodeSegmentHead,
  SEGMENT_HEAD_BYTES,
  type BatchHead,
  type SegmentHead,
  type LogPosition,
} from '../format/batch-codec.ts';
import { decodeFrame, sliceFrame, type Frame, type StoredRecord, type FrameLocation } from '../format/frame-codec.ts';
import type { LogFile, LogFiles } from '../disk/log-files.ts';
import type { OpenSegment } from '../disk/log-writer.ts';
import { listSegments, type Segments } from '../disk/segments.ts';

const WINDOW_BYTES = 1024 * 1024;

export interface RecoveredLog {
  readonly current: OpenSegment | undefined;
  readonly nextId: number;
  /** The sequence of the next batch. */
  readonly sequence: number;
  /** The engine's time when the last batch was written; 0 if there is none. */
  readonly time: number;
  readonly batches: number;
  /** Where the last batch ends in its segment. */
  readonly end: number;
}

export interface ReplayOptions {
  readonly from: LogPosition | undefined;
  /** Segments that hold records, according to the checkpoint. */
  readonly known: readonly number[];
  /** The last process run acknowledged before flushing, and the machine went down: lost batches may come before
   *  later ones. */
  readonly lossy: boolean;
  onFrame(frame: Frame<StoredRecord>, location: FrameLocation): void;
}

/** @throws BrokerError corrupt, invalid-config */
export async function recoverLog(files: LogFiles, segments: Segments, options: ReplayOptions): Promise<RecoveredLog> {
  const found = await listSegments(files, segments.folder);
  const { from } = options;
  const dropped = await dropUnbegun(files, segments, found.at(-1), options);
  const ids = dropped ? found.slice(0, -1) : found;
  const begin = from === undefined || from.segment === 0 ? 1 : from.segment;
  checkComplete(ids, options.known, begin, from !== undefined && from.segment !== 0);
  for (const id of options.known) if (id < begin && !ids.includes(id)) segments.noteMissing(id);
  const replayed = ids.filter((id) => id >= begin);
  // Dead segments that a crash kept from being removed: the next checkpoint removes them.
  for (const id of ids) if (id < begin && !options.known.includes(id)) segments.add(id, true);
  const begins = await firstSequences(files, segments, replayed.slice(1));
  let state: RecoveredLog = {
    current: undefined,
    nextId: begin,
    sequence: from?.sequence ?? 0,
    time: 0,
    batches: 0,
    end: 0,
  };
  for (const [i, id] of replayed.entries()) {
    const isLast = id === replayed.at(-1);
    if (!options.known.includes(id)) segments.add(id, false);
    const position = id === from?.segment ? from.position : SEGMENT_HEAD_BYTES;
    const replay = new SegmentReplay(files, segments, {
      id,
      isLast,
      mayBeTorn: isLast && !dropped,
      position,
      endSequence: begins[i] ?? Infinity,
      ...options,
    });
    state = await replay.run(state);
    if (!isLast) segments.seal(id, state.end);
  }
  // Data that an earlier process run left only in the page cache must be flushed before a reader sees it, or a power
  // loss would take back what was shown. That includes the directory entry of a new segment.
  await files.syncFolder(segments.folder);
  return state;
}

/** Removes the last segment if the process died while it made it: nothing in it was acknowledged, and the segment
 *  before it, which was flushed first, becomes the last. */
async function dropUnbegun(
  files: LogFiles,
  segments: Segments,
  id: number | undefined,
  { from, known }: ReplayOptions,
): Promise<boolean> {
  // A segment that the checkpoint knows was begun: if its file is cut off, it is damaged.
  if (id === undefined || (known.includes(id) && from?.segment !== id)) return false;
  const path = segments.path(id);
  const file = await files.open(path, 'read');
  try {
    const size = await file.size();
    if (size > SEGMENT_HEAD_BYTES || decodeSegmentHead(await readUpTo(file, 0, SEGMENT_HEAD_BYTES)) !== undefined)
      return false;
    if (from?.segment === id)
      throw new BrokerError('corrupt', `segment ${id} (${path}) at byte ${size}: the log ends before the checkpoint`);
  } finally {
    await file.close();
  }
  await files.unlink(path);
  return true;
}

interface ReplayEnd {
  readonly position: number;
  /** Where the last replayed batch begins. */
  readonly lastBatch: number | undefined;
  readonly sequence: number;
  readonly time: number;
  readonly batches: number;
}

interface SegmentOptions extends ReplayOptions {
  readonly id: number;
  readonly isLast: boolean;
  readonly mayBeTorn: boolean;
  readonly position: number;
  /** The first sequence of the next segment. A process that had already been replaced wrote the batches from this
   *  sequence on here. */
  readonly endSequence: number;
}

/** The first sequences in the heads of these segments. Infinity for a damaged head, which is reported when the
 *  segment is read. */
async function firstSequences(files: LogFiles, segments: Segments, ids: readonly number[]): Promise<readonly number[]> {
  const sequences: number[] = [];
  for (const id of ids) {
    const file = await files.open(segments.path(id), 'read');
    try {
      sequences.push(decodeSegmentHead(await readUpTo(file, 0, SEGMENT_HEAD_BYTES))?.firstSequence ?? Infinity);
    } finally {
      await file.close();
    }
  }
  return sequences;
}

/** Checks that every segment is there that must be replayed: from `begin` on, none is missing. */
function checkComplete(ids: readonly number[], known: readonly number[], begin: number, checkpointed: boolean): void {
  const present = new Set(ids);
  const last = ids.at(-1) ?? 0;
  const wanted = [
    ...known.filter((id) => id >= begin),
    ...(checkpointed ? [begin] : []),
    ...Array.from({ length: Math.max(0, last - begin + 1) }, (_, i) => begin + i),
  ];
  const missing = wanted.find((id) => !present.has(id));
  if (missing !== undefined) throw new BrokerError('corrupt', `segment ${missing} is missing`);
}

class SegmentReplay {
  readonly #files: LogFiles;
  readonly #segments: Segments;
  readonly #options: SegmentOptions;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(files: LogFiles, segments: Segments, options: SegmentOptions) {
    this.#files = files;
    this.#segments = segments;
    this.#options = options;
  }

  async run(before: RecoveredLog): Promise<RecoveredLog> {
    const { id, isLast } = this.#options;
    const file = await this.#files.open(this.#segments.path(id), 'write');
    let kept = false;
    try {
      const size = await file.size();
      const { version, salt } = await this.#head(file);
      if (size < this.#options.position) throw this.#corrupt(size, 'the log ends before the checkpoint');
      const end = await this.#replay(file, size, salt, before);
      if (end.position < size && end.sequence < this.#options.endSequence) await this.#cut(file, size, end, salt);
      if (isLast) await this.#settle(file, end);
      kept = isLast;
      const current = isLast ? { id, version, salt, file, position: end.position } : undefined;
      const { sequence, time, batches } = end;
      return { current, nextId: id + 1, sequence, time, batches, end: end.position };
    } finally {
      if (!kept) await file.close();
    }
  }

  async #head(file: LogFile): Promise<SegmentHead> {
    const { id } = this.#options;
    // Not through the window, because the position of the checkpoint may be far behind the head.
    const head = decodeSegmentHead(await readUpTo(file, 0, SEGMENT_HEAD_BYTES));
    if (head?.id !== id) throw this.#corrupt(0, 'the head of the segment is damaged');
    return head;
  }

  /** Makes the last batch durable. It may be only in the page cache: its process was killed before the flush, or the
   *  flush failed and the kernel regards the pages as clean. Writing the batch once more makes the pages dirty, so
   *  that the flush is a real one. */
  async #settle(file: LogFile, end: ReplayEnd): Promise<void> {
    if (end.lastBatch !== undefined) {
      const bytes = await readUpTo(file, end.lastBatch, end.position - end.lastBatch);
      for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done), end.lastBatch + done);
    }
    await file.datasync();
  }

  async #replay(file: LogFile, size: number, salt: number, before: RecoveredLog): Promise<ReplayEnd> {
    let { position } = this.#options;
    let lastBatch: number | undefined;
    let { sequence, time, batches } = before;
    while (position < size && sequence < this.#options.endSequence) {
      const head = decodeBatchHead(
        await this.#bytes(file, position, Math.min(BATCH_HEAD_BYTES, size - position)),
        0,
        salt,
      );
      if (head?.sequence !== sequence || head.byteLength > size - position - BATCH_HEAD_BYTES) break;
      const frames = await this.#frames(file, position + BATCH_HEAD_BYTES, head);
      if (frames === undefined) break;
      for (const { frame, location } of frames) this.#options.onFrame(frame, location);
      lastBatch = position;
      position += BATCH_HEAD_BYTES + head.byteLength;
      sequence += 1;
      batches += 1;
      time = Math.max(time, head.time);
    }
    return { position, lastBatch, sequence, time, batches };
  }

  /** All frames of a batch; undefined if the batch is not whole. */
  async #frames(
    file: LogFile,
    position: number,
    head: BatchHead,
  ): Promise<{ frame: Frame<StoredRecord>; location: FrameLocation }[] | undefined> {
    const bytes = await this.#bytes(file, position, head.byteLength);
    const frames: { frame: Frame<StoredRecord>; location: FrameLocation }[] = [];
    try {
      for (let at = 0; at < bytes.length;) {
        const slice = sliceFrame(bytes, at);
        const location = { segment: this.#options.id, position: position + at, length: slice.end - at };
        frames.push({ frame: decodeFrame(bytes, slice.bodyStart, slice.end), location });
        at = slice.end;
      }
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'corrupt') return undefined;
      throw error;
    }
    return frames.length === head.frames ? frames : undefined;
  }

  async #cut(
    file: LogFile,
    size: number,
    end: { readonly position: number; readonly sequence: number },
    salt: number,
  ): Promise<void> {
    if (!this.#options.mayBeTorn) throw this.#corrupt(end.position, 'damage before the last segment');
    if (!this.#options.lossy) {
      const rest = await this.#bytes(file, end.position, size - end.position);
      const later = findBatch(rest, salt, end.sequence);
      if (later >= 0) throw this.#corrupt(end.position, `a whole batch follows at byte ${end.position + later}`);
    }
    await file.truncate(end.position);
  }

  /** Reads through a window, so that small batches do not need a read each. */
  async #bytes(file: LogFile, position: number, length: number): Promise<Buffer> {
    const from = position - this.#windowAt;
    if (from < 0 || from + length > this.#window.length) {
      this.#window = await readUpTo(file, position, Math.max(length, WINDOW_BYTES));
      this.#windowAt = position;
      if (this.#window.length < length) throw this.#corrupt(position, 'the file became shorter');
    }
    const start = position - this.#windowAt;
    return this.#window.subarray(start, start + length);
  }

  #corrupt(position: number, what: string): BrokerError {
    return new BrokerError(
      'corrupt',
      `segment ${this.#options.id} (${this.#segments.path(this.#options.id)}) at byte ${position}: ${what}`,
    );
  }
}

async function readUpTo(file: LogFile, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const count = await file.read(buffer.subarray(done), position + done);
    if (count === 0) break;
    done += count;
  }
  return buffer.subarray(0, done);
}

/** Where in the bytes a later batch of this segment begins; -1 if there is none. */
function findBatch(bytes: Buffer, salt: number, afterSequence: number): number {
  for (let at = bytes.indexOf(BATCH_MAGIC); at >= 0; at = bytes.indexOf(BATCH_MAGIC, at + 1)) {
    const head = decodeBatchHead(bytes, at, salt);
    if (head !== undefined && head.sequence > afterSequence) return at;
  }
  return -1;
}
