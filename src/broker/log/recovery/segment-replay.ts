// Reads one segment of the replayed part of the log, and gives the frames that match their checksums, in order. Where
// bytes cannot be read, it reports the part and continues at the next batch. Only the end of the last segment can be
// torn by a crash: nothing there was acknowledged, and it is cut off without a report.
import type { TurnSlice } from '../../../base/turn-slice.ts';
import type { LostPart } from '../../health.ts';
import { BrokerError, isBrokerError } from '../../errors.ts';
import type { LogFile } from '../disk/log-files.ts';
import {
  BATCH_HEAD_BYTES,
  decodeBatchHead,
  findBatch,
  type BatchHead,
  type SegmentHead,
} from '../format/batch-codec.ts';
import type { Frame, FrameLocation, StoredRecord } from '../format/frame-codec.ts';
import { textOf } from '../topics/damage-account.ts';
import { readableFrames, type BatchPart } from './readable-frames.ts';
import { readUpTo } from './segment-start.ts';

const WINDOW_BYTES = 1024 * 1024;

/** What the replay has read so far. */
export interface ReplayState {
  /** The sequence of the next batch. */
  sequence: number;
  /** The engine's time when the last batch was written; 0 if there is none. */
  time: number;
  /** Batches may be missing between the last batch and what follows, and that is reported. */
  hasGap: boolean;
}

export interface ReplayEvents {
  onFrame(frame: Frame<StoredRecord>, location: FrameLocation): void;
  /** The changes in this part are lost. Called between the frames before and behind it. */
  onLost(part: LostPart): void;
}

export interface SegmentOptions extends ReplayEvents {
  readonly id: number;
  readonly head: SegmentHead;
  /** Where to begin. */
  readonly position: number;
  /** The last batch of the segment may be torn. */
  readonly mayBeTorn: boolean;
  /** The machine has run since the last process run wrote: a torn batch is a batch that is too short. */
  readonly isSameBoot: boolean;
  /** The last process run acknowledged before flushing, and the machine went down: lost batches may come before
   *  later ones. */
  readonly lossy: boolean;
  /** The first sequence of the next segment. A process that had already been replaced wrote the batches from this
   *  sequence on here. */
  readonly endSequence: number;
  /** Counts the frames: the log behind a checkpoint may have a million of them. */
  readonly slice: TurnSlice;
}

export class SegmentReplay {
  readonly #file: LogFile;
  readonly #path: string;
  readonly #options: SegmentOptions;
  readonly #state: ReplayState;
  #size = 0;
  #position: number;
  /** Where the last whole batch begins. */
  #lastBatch: number | undefined;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  /** Changes `state`. */
  constructor(file: LogFile, path: string, options: SegmentOptions, state: ReplayState) {
    this.#file = file;
    this.#path = path;
    this.#options = options;
    this.#state = state;
    this.#position = options.position;
  }

  /** Returns where the segment ends. @throws BrokerError corrupt: a frame that matches its checksum makes no sense */
  async run(): Promise<number> {
    this.#size = await this.#file.size();
    const { endSequence } = this.#options;
    while (this.#position < this.#size && this.#state.sequence < endSequence) if (!(await this.#step())) break;
    return this.#position;
  }

  /** Makes the last batch durable. It may be only in the page cache: its process was killed before the flush, or the
   *  flush failed and the kernel regards the pages as clean. Writing the batch once more makes the pages dirty, so
   *  that the flush is a real one. */
  async settle(): Promise<void> {
    if (this.#lastBatch !== undefined) {
      const bytes = await readUpTo(this.#file, this.#lastBatch, this.#position - this.#lastBatch);
      for (let done = 0; done < bytes.length;)
        done += await this.#file.write(bytes.subarray(done), this.#lastBatch + done);
    }
    await this.#file.datasync();
  }

  /** Reads one batch, or reports what is in its place. False: nothing of the segment is left. */
  async #step(): Promise<boolean> {
    const at = this.#position;
    const head = await this.#headAt(at);
    if (head !== undefined && head.sequence >= this.#options.endSequence) return false;
    if (head === undefined) return this.#skip();
    const from = at + BATCH_HEAD_BYTES;
    const parts = await this.#partsOf(await this.#bytes(from, head.byteLength), head.frames, from);
    const isNext = head.sequence === this.#state.sequence || !this.#options.lossy;
    const isWhole = isNext && parts.every(({ frame }) => frame !== undefined);
    if (!isWhole && (await this.#isTorn(at, head))) return this.#cut();
    if (head.sequence > this.#state.sequence) this.#report(at, 0, 'batches before it are missing');
    const { slice } = this.#options;
    for (const part of parts) {
      this.#give(part, from);
      if (slice.isOver()) await slice.next();
    }
    this.#lastBatch = at;
    this.#position = from + head.byteLength;
    this.#state.sequence = head.sequence + 1;
    this.#state.time = Math.max(this.#state.time, head.time);
    this.#state.hasGap = false;
    return true;
  }

  /** The whole head of a batch that is there as a whole and that no earlier batch has replaced. */
  async #headAt(at: number): Promise<BatchHead | undefined> {
    const head = await this.#anyHeadAt(at);
    if (head === undefined || head.sequence < this.#state.sequence) return undefined;
    return head.byteLength > this.#size - at - BATCH_HEAD_BYTES ? undefined : head;
  }

  async #anyHeadAt(at: number): Promise<BatchHead | undefined> {
    const bytes = await this.#bytes(at, Math.min(BATCH_HEAD_BYTES, this.#size - at));
    return decodeBatchHead(bytes, 0, this.#options.head.salt);
  }

  async #partsOf(bytes: Buffer, count: number, from: number): Promise<readonly BatchPart[]> {
    try {
      return await readableFrames(bytes, count, this.#options.slice);
    } catch (error) {
      if (!isBrokerError(error, 'corrupt')) throw error;
      throw this.#corrupt(from, textOf(error));
    }
  }

  #give({ frame, start, end }: BatchPart, from: number): void {
    if (frame === undefined) this.#report(from + start, end - start, 'a frame does not match its checksum');
    else this.#options.onFrame(frame, { segment: this.#options.id, position: from + start, length: end - start });
  }

  /** No batch begins here: continues at the next one, unless this is the torn end of the log. */
  async #skip(): Promise<boolean> {
    const at = this.#position;
    if (await this.#isTorn(at, undefined)) return this.#cut();
    const next = await this.#nextBatch(at + 1);
    this.#position = next ?? this.#size;
    this.#report(at, this.#position - at, 'it holds no batch that can be read');
    return next !== undefined;
  }

  /** Whether the batch is the one that the process was writing when it ended. `head`: the batch is all there, and its
   *  frames do not match. Behind damage nothing is cut off: a start that repeats this one must find the same. */
  async #isTorn(at: number, head: BatchHead | undefined): Promise<boolean> {
    const { mayBeTorn, lossy, isSameBoot } = this.#options;
    if (!mayBeTorn || this.#state.hasGap) return false;
    if (lossy) return true;
    if ((await this.#nextBatch(at + 1)) !== undefined) return false;
    if (!isSameBoot) return true;
    return head === undefined && (this.#size - at < BATCH_HEAD_BYTES || (await this.#anyHeadAt(at)) !== undefined);
  }

  async #cut(): Promise<false> {
    await this.#file.truncate(this.#position);
    return false;
  }

  #report(position: number, bytes: number, what: string): void {
    if (this.#state.hasGap && bytes === 0) return;
    this.#state.hasGap = true;
    this.#options.onLost({ segment: this.#options.id, position, bytes, what });
  }

  /** Where the next batch with a later sequence begins. */
  async #nextBatch(from: number): Promise<number | undefined> {
    const { head, endSequence } = this.#options;
    const isLater = ({ sequence }: BatchHead): boolean => sequence > this.#state.sequence && sequence < endSequence;
    for (let at = from; this.#size - at >= BATCH_HEAD_BYTES; at += WINDOW_BYTES - BATCH_HEAD_BYTES + 1) {
      const bytes = await this.#bytes(at, Math.min(WINDOW_BYTES, this.#size - at));
      const found = findBatch(bytes, 0, head.salt, isLater);
      if (found >= 0) return at + found;
    }
    return undefined;
  }

  /** Reads through a window, so that small batches do not need a read each. */
  async #bytes(position: number, length: number): Promise<Buffer> {
    const from = position - this.#windowAt;
    if (from < 0 || from + length > this.#window.length) {
      this.#window = await readUpTo(this.#file, position, Math.max(length, WINDOW_BYTES));
      this.#windowAt = position;
      if (this.#window.length < length) throw this.#corrupt(position, 'the file became shorter');
    }
    const start = position - this.#windowAt;
    return this.#window.subarray(start, start + length);
  }

  #corrupt(position: number, what: string): BrokerError {
    return new BrokerError('corrupt', `segment ${this.#options.id} (${this.#path}) at byte ${position}: ${what}`);
  }
}
