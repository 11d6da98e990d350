// Turns many appends into few flushes: frames that arrive during a flush share the next one. The engine writes and
// flushes one batch at a time. An idle engine commits at once. Under load it waits, because a flush costs CPU
// regardless of its size: a commit begins when no append came for `commitPauseMs`, or when a batch is so large that its
// flush costs little for each append, and at the latest `commitIntervalMs` after the previous one began.
//
// Invariants:
//  - No entry is notified before the flush of its batch has resolved.
//  - No promise between fdatasync and socket: after the flush, `committed` makes every record of the batch visible and
//    marks its readers, and `batchCommitted` serves those readers, all as plain calls in one turn of the event loop.
import type { Clock, Timer } from '../../../base/clock.ts';
import { BrokerError } from '../../errors.ts';
import { BATCH_HEAD_BYTES } from '../format/batch-codec.ts';
import { ByteWriter } from '../format/byte-writer.ts';
import {
  encodeFrame,
  encodeOneWrite,
  type Frame,
  type FrameLocation,
  type FrameWrite,
  type SizedRecord,
} from '../format/frame-codec.ts';
import { DeviceFull, type LogWriter } from '../disk/log-writer.ts';
import type { RecentLog } from '../read/recent-log.ts';
import type { EngineTime } from '../topics/engine-time.ts';
import { takenOver, type TopicIndex } from '../topics/topic-index.ts';

/** After a batch, a reused buffer that is larger than this is replaced by a small one. */
const BUFFER_BYTES_KEPT = 4 * 1024 * 1024;
const BUFFER_BYTES_AT_FIRST = 64 * 1024;

export type FsyncMode =
  { readonly mode: 'always' } | { readonly mode: 'interval'; readonly ms: number } | { readonly mode: 'os' };

export interface CommitEntry {
  /** The frame is durable at `location`, which is valid only during the call. Entries are notified in the order of the
   *  log, all entries of a batch in one turn of the event loop. */
  committed(location: FrameLocation): void;
  failed(error: BrokerError): void;
}

/** What the engine does around a batch. */
export interface BatchEvents {
  /** Every entry of a batch was notified. `bytes`: 0 for a flush without a batch. */
  batchCommitted(bytes: number): void;
  /** The next batch must wait until `resume`. */
  readonly holdsCommits: boolean;
  /** The device refused bytes. Called before any entry of the batch is notified. */
  deviceFull(): void;
  failed(error: BrokerError): void;
}

export interface CommitParts {
  readonly writer: LogWriter;
  readonly clock: Clock;
  readonly time: EngineTime;
  readonly index: TopicIndex;
  readonly recent: RecentLog;
}

export interface CommitLimits {
  readonly commitIntervalMs: number;
  readonly commitPauseMs: number;
  readonly commitFrames: number;
  readonly commitBytes: number;
  readonly pendingBytesMax: number;
}

class Batch {
  readonly bytes = new ByteWriter(BUFFER_BYTES_AT_FIRST);
  readonly entries: CommitEntry[] = [];
  readonly starts: number[] = [];
  readonly followers: CommitEntry[] = [];

  constructor() {
    this.bytes.skip(BATCH_HEAD_BYTES);
  }

  reset(): void {
    this.bytes.clear();
    this.bytes.shrink(BUFFER_BYTES_KEPT);
    this.bytes.skip(BATCH_HEAD_BYTES);
    this.entries.length = 0;
    this.starts.length = 0;
    this.followers.length = 0;
  }
}

const NOWHERE: FrameLocation = { segment: 0, position: 0, length: 0 };

export class GroupCommit {
  readonly #writer: LogWriter;
  readonly #clock: Clock;
  readonly #time: EngineTime;
  readonly #index: TopicIndex;
  readonly #recent: RecentLog;
  readonly #fsync: FsyncMode;
  readonly #limits: CommitLimits;
  readonly #engine: BatchEvents;
  #open = new Batch();
  #writing = new Batch();
  #busy = false;
  #begunAt = Number.NEGATIVE_INFINITY;
  #scheduled: Timer | undefined;
  /** Frames that waited when the timer was set. */
  #seen = 0;
  #immediate = false;
  #syncTimer: Timer | undefined;
  #unsynced = false;
  #syncDue = false;
  #endsSegment = false;
  #state: 'ready' | 'full' | 'failed' = 'ready';
  #fatal: BrokerError | undefined;
  #idle: (() => void)[] = [];

  constructor(
    { writer, clock, time, index, recent }: CommitParts,
    { fsync, limits }: { readonly fsync: FsyncMode; readonly limits: CommitLimits },
    engine: BatchEvents,
  ) {
    this.#writer = writer;
    this.#clock = clock;
    this.#time = time;
    this.#index = index;
    this.#recent = recent;
    this.#fsync = fsync;
    this.#limits = limits;
    this.#engine = engine;
  }

  get state(): 'ready' | 'full' | 'failed' {
    return this.#state;
  }

  /** A frame of any size is accepted while none waits. @throws BrokerError failed, overloaded */
  check(): void {
    if (this.#fatal !== undefined) throw this.#fatal;
    if (this.#open.bytes.length > this.#limits.pendingBytesMax)
      throw new BrokerError('overloaded', 'too many bytes wait to be written');
  }

  add(frame: Frame<SizedRecord>, entry: CommitEntry): void {
    const batch = this.#open;
    batch.starts.push(batch.bytes.length);
    encodeFrame(batch.bytes, frame);
    batch.entries.push(entry);
    this.#schedule();
  }

  /** Adds the frame of an append whose only write is the entry. */
  addOneWrite(entry: CommitEntry & FrameWrite<SizedRecord>): void {
    const batch = this.#open;
    batch.starts.push(batch.bytes.length);
    encodeOneWrite(batch.bytes, entry);
    batch.entries.push(entry);
    this.#schedule();
  }

  /** Notifies the entry when everything that was added so far is committed, in the order that a frame would have
   *  had. */
  follow(entry: CommitEntry): void {
    if (this.#fatal !== undefined) entry.failed(this.#fatal);
    else if (this.#open.entries.length > 0) this.#open.followers.push(entry);
    else if (this.#busy) this.#writing.followers.push(entry);
    else entry.committed(NOWHERE);
  }

  /** Resolves when no frame waits and none is being written. */
  async drained(): Promise<void> {
    if (!this.#busy && this.#open.entries.length === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** In every fsync mode: everything up to the last batch is on the device. */
  get synced(): boolean {
    return !this.#unsynced;
  }

  /** Bytes that wait for the next batch. */
  get waitingBytes(): number {
    return this.#open.bytes.length;
  }

  /** Flushes soon, even if no frame waits, and calls `batchCommitted` afterwards. After a final error it does
   *  nothing: a flush that is due would keep `drained` waiting. */
  requestSync(): void {
    if (this.#fatal !== undefined) return;
    this.#syncDue = true;
    this.#schedule();
  }

  /** Lets the next batch begin another segment. Makes that segment now if no batch waits. */
  endSegment(): void {
    this.#endsSegment = true;
    this.requestSync();
  }

  /** The engine holds no commits any more. */
  resume(): void {
    if (this.#open.entries.length > 0 || this.#syncDue) this.#schedule();
  }

  /** Another part of the engine found that the device has failed. */
  failNow(cause: unknown): void {
    if (this.#fatal === undefined) this.#fail(cause);
  }

  stop(): void {
    this.#scheduled?.cancel();
    this.#syncTimer?.cancel();
  }

  #schedule(): void {
    if (this.#busy || this.#immediate) return;
    if (!this.#isLarge) {
      if (this.#scheduled !== undefined) return;
      const wait = this.#begunAt + this.#limits.commitIntervalMs - this.#clock.mono();
      if (wait > 0) {
        this.#lookAgain(wait);
        return;
      }
    }
    // Not in this turn: all appends of one turn of the event loop share a batch.
    this.#immediate = true;
    setImmediate(() => {
      this.#immediate = false;
      this.#run();
    });
  }

  get #isLarge(): boolean {
    const { bytes, entries } = this.#open;
    return bytes.length >= this.#limits.commitBytes || entries.length >= this.#limits.commitFrames;
  }

  #lookAgain(wait: number): void {
    this.#seen = this.#open.entries.length;
    this.#scheduled = this.#clock.after(Math.min(wait, this.#limits.commitPauseMs), () => this.#look());
  }

  /** A timer for each look, and not a timer that each append sets again: appends are too many for that. */
  #look(): void {
    this.#scheduled = undefined;
    const wait = this.#begunAt + this.#limits.commitIntervalMs - this.#clock.mono();
    if (wait > 0 && this.#open.entries.length > this.#seen) this.#lookAgain(wait);
    else this.#run();
  }

  #run(): void {
    this.#scheduled?.cancel();
    this.#scheduled = undefined;
    if (this.#busy || this.#fatal !== undefined || this.#engine.holdsCommits) return;
    if (this.#open.entries.length === 0 && !this.#syncDue) {
      this.#notifyIdle();
      return;
    }
    this.#busy = true;
    this.#begunAt = this.#clock.mono();
    [this.#open, this.#writing] = [this.#writing, this.#open];
    void this.#commit(this.#writing).finally(() => this.#next());
  }

  #next(): void {
    this.#writing.reset();
    this.#busy = false;
    if (this.#open.entries.length > 0 || this.#syncDue) this.#schedule();
    else this.#notifyIdle();
  }

  async #commit(batch: Batch): Promise<void> {
    try {
      let at = NOWHERE;
      if (this.#endsSegment) await this.#writer.endSegment();
      this.#endsSegment = false;
      const bytes = batch.entries.length === 0 ? 0 : batch.bytes.length;
      if (bytes > 0) {
        at = { ...(await this.#writer.write(batch.bytes.view(), batch.entries.length, this.#time.now())), length: 0 };
        this.#unsynced = true;
      }
      if (this.#fsync.mode === 'always' || this.#syncDue) await this.#sync();
      else if (this.#fsync.mode === 'interval') this.#syncLater(this.#fsync.ms);
      if (this.#fatal !== undefined) return;
      // After the flush and before any entry is notified: a process that takes the folder over first claims the index
      // and then reads the log, so it either reads this batch or this check fails.
      if (bytes > 0 && !this.#index.isOwned) throw takenOver();
      this.#state = 'ready';
      if (bytes > 0) this.#recent.add(at.segment, at.position, batch.bytes.view());
      this.#notifyCommitted(batch, at);
      this.#engine.batchCommitted(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #sync(): Promise<void> {
    this.#syncDue = false;
    if (!this.#unsynced) return;
    await this.#writer.sync();
    this.#unsynced = false;
  }

  #syncLater(ms: number): void {
    this.#syncTimer ??= this.#clock.after(ms, () => {
      this.#syncTimer = undefined;
      this.#syncDue = true;
      this.#run();
    });
  }

  #notifyCommitted(batch: Batch, at: FrameLocation): void {
    const { entries, starts, followers } = batch;
    const location = { segment: at.segment, position: 0, length: 0 };
    for (let i = 0; i < entries.length; i++) {
      const start = starts[i] ?? 0;
      location.position = at.position + start;
      location.length = (starts[i + 1] ?? batch.bytes.length) - start;
      entries[i]?.committed(location);
    }
    for (const follower of followers) follower.committed(NOWHERE);
  }

  /**
   * Frames that wait behind a failed batch were decided on its state, so they fail too. A full device recovers by
   * itself. Any other error is final: after a failed flush the kernel marks the pages clean, so a second flush would
   * report success for data that is lost.
   */
  #fail(cause: unknown): void {
    const full = cause instanceof DeviceFull;
    const known = cause instanceof BrokerError && cause.code === 'failed' ? cause : undefined;
    const error = full
      ? new BrokerError('disk-full', 'no room on the device', { cause })
      : (known ?? new BrokerError('failed', 'the log could not be written; the process must be restarted', { cause }));
    this.#state = full ? 'full' : 'failed';
    if (full) this.#engine.deviceFull();
    else this.#fatal = error;
    const waiting = this.#open;
    for (const one of [this.#writing, waiting]) {
      for (const entry of [...one.entries, ...one.followers]) entry.failed(error);
    }
    waiting.reset();
    this.#syncDue = false;
    if (!full) this.#engine.failed(error);
    // A batch that is being written does this when it ends; nothing else runs after a final error.
    if (!this.#busy) this.#notifyIdle();
  }

  #notifyIdle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
