// Gives the room of dead records back. It empties segments of which little is live: it appends what lives once more,
// as moved frames through the group commit, and the next checkpoint removes the segment because nothing in it is live.
// It never removes a file itself. It also empties segments, however much of them lives, before the time is over within
// which dead text must be erased (erasure.ts). Works in small steps between the turns of the streams, and at a bounded
// rate. On a full device it may use half of the reserve, because nothing else can make room in segments that also hold
// live records.
import { setImmediate } from 'node:timers/promises';
import type { Clock, Timer } from '../../../base/clock.ts';
import { BrokerError } from '../../errors.ts';
import type { GroupCommit } from '../commit/group-commit.ts';
import type { DiskReserve } from '../disk/disk-reserve.ts';
import { isCode, type LogFiles } from '../disk/log-files.ts';
import type { LogWriter } from '../disk/log-writer.ts';
import type { SegmentFigures, Segments } from '../disk/segments.ts';
import type { MovedFrame, SizedRecord } from '../format/frame-codec.ts';
import type { LogLimits } from '../limits.ts';
import type { EngineTime } from '../topics/engine-time.ts';
import type { TopicIndex } from '../topics/topic-index.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import { LiveRecords, WindowRecords } from './live-records.ts';
import { SegmentWalk, type Window } from './segment-walk.ts';
import { firstDue, nextDueAt, paceFor } from './erasure.ts';
import { leastLive, sizeOf } from './victim.ts';

/** Frames decoded in one turn of the event loop, about 0.3 ms. */
const FRAMES_A_TURN = 128;
/** Groups of records looked up in one turn: each reads the index once, or is moved. */
const GROUPS_A_TURN = 16;
/** What is moved out of a segment, and what is written meanwhile, takes at most about this many segments. */
const WORK_SEGMENTS = 1.5;
/** Bytes that wait for the next batch, above which nothing is moved. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** A device with less than this share of free bytes is short of room. */
const SHORT_SHARE = 0.1;
/** How much faster the work goes then. */
const SHORT_FACTOR = 4;
/** On a full device, a segment is emptied if less than this share of it is live. */
const FULL_SHARE = 0.5;
/** The part of the allowed time between two tries to erase a text that is due already. */
const ERASE_AGAIN_SHARE = 1 / 16;

/** What the engine decides and does about the work. */
export interface ReclaimEvents {
  /** Resolves when the checkpoints have room for more changed topics. */
  whenRoom(): Promise<void>;
  /** Writes a checkpoint soon: it removes the segments in which nothing is live, and the next ones can be emptied. */
  requestCheckpoint(): void;
}

export interface ReclaimParts {
  readonly files: Pick<LogFiles, 'deviceBytes' | 'freeBytes'>;
  readonly clock: Clock;
  readonly limits: LogLimits;
  readonly segments: Segments;
  readonly table: TopicTable;
  readonly index: TopicIndex;
  readonly commit: GroupCommit;
  readonly writer: LogWriter;
  readonly reserve: DiskReserve;
  readonly time: EngineTime;
  readonly onWarning: (text: string) => void;
}

export class Reclaim {
  readonly #parts: ReclaimParts;
  readonly #engine: ReclaimEvents;
  readonly #live: LiveRecords;
  /** Segments that could not be emptied, with what was live in them then. */
  readonly #left = new Map<number, number>();
  /** The segment that holds the position of the last checkpoint. */
  #before = 0;
  /** The segment of the last batch. */
  #writing = 0;
  /** The last run found no room: the next one comes with a checkpoint that is due anyway. */
  #hasGivenUp = false;
  #running: Promise<void> | undefined;
  #eraseTimer: Timer | undefined;
  /** When the engine last tried to erase what is due, in its time. */
  #triedAt = -Infinity;
  #sleep: { readonly timer: Timer; readonly wake: () => void } | undefined;
  #isStopped = false;

  constructor(parts: ReclaimParts, engine: ReclaimEvents) {
    this.#parts = parts;
    this.#engine = engine;
    this.#live = new LiveRecords(parts.table, parts.index);
  }

  /** `before`: the segment that holds the position of the checkpoint. */
  afterCheckpoint(before: number): void {
    this.#before = before;
    this.#hasGivenUp = false;
    this.#armErasure();
    if (this.#isStopped || this.#running !== undefined || this.#victim() === undefined) return;
    this.#running = this.#run().finally(() => (this.#running = undefined));
  }

  /** The device is full, and a checkpoint now would let a segment be emptied. */
  needsCheckpoint(): boolean {
    if (this.#isStopped || this.#hasGivenUp || this.#running !== undefined) return false;
    return this.#victimOnFull(this.#parts.writer.position.segment) !== undefined;
  }

  /** With each segment that is full, the log may have passed its bound since the last checkpoint. */
  batchCommitted(): void {
    const { segment } = this.#parts.writer.position;
    if (segment === this.#writing) return;
    this.#writing = segment;
    this.#keepBound();
  }

  /** Above the bound, a checkpoint removes what is dead, and lets the next segments be emptied. */
  #keepBound(): void {
    const { segments, writer, limits, reserve } = this.#parts;
    if (this.#isStopped || !reserve.isWhole) return;
    const { log, live, dead } = sizeOf(segments.all(), writer.position);
    if (log + dead <= startOf(limits, live)) return;
    const behind = writer.position.segment;
    if (segments.dead(behind).length > 0 || this.#leastLive(behind) !== undefined) this.#engine.requestCheckpoint();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#eraseTimer?.cancel();
    this.#sleep?.timer.cancel();
    this.#sleep?.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const pace = await this.#pace();
    let isErasing = false;
    for (let victim = this.#victim(); victim !== undefined && !this.#isStopped; victim = this.#victim()) {
      isErasing ||= this.#dueToErase() !== undefined;
      try {
        await this.#empty(victim, pace);
        this.#note(victim.id);
        this.#keepBound();
      } catch (error) {
        // A full device, and a log or a process that has ended: the error is on record where it arose.
        this.#hasGivenUp = true;
        if (error instanceof BrokerError && error.code !== 'corrupt') return;
        if (isCode(error, 'ENOSPC') || isCode(error, 'EMFILE')) return;
        this.#noteLeft(victim, String(error));
      }
    }
    // Otherwise the next checkpoint comes when it is due anyway.
    if ((isErasing || !this.#parts.reserve.isWhole) && !this.#isStopped) this.#engine.requestCheckpoint();
  }

  /** Sets the timer to the time when the next segment is due. */
  #armErasure(): void {
    const { segments, limits, time, clock } = this.#parts;
    this.#eraseTimer?.cancel();
    const at = nextDueAt(segments.all(), limits.eraseWithinMs);
    if (this.#isStopped || at === Infinity) return;
    // What is due already is being erased. It takes some checkpoints, and each of them comes here.
    const again = this.#triedAt + limits.eraseWithinMs * ERASE_AGAIN_SHARE;
    this.#eraseTimer = clock.after(Math.max(at, again) - time.now(), () => this.#erase());
  }

  /** Something is due. A segment is emptied behind a checkpoint only, and never while it is being written. */
  #erase(): void {
    const { segments, limits, time, writer, commit } = this.#parts;
    this.#triedAt = time.now();
    this.#armErasure();
    const current = segments.figures(writer.position.segment);
    if (current !== undefined && firstDue([current], limits.eraseWithinMs, time.now()) !== undefined)
      commit.endSegment();
    this.#engine.requestCheckpoint();
  }

  #dueToErase(): SegmentFigures | undefined {
    const { limits, time } = this.#parts;
    return firstDue(this.#candidates(this.#before), limits.eraseWithinMs, time.now());
  }

  #victim(): SegmentFigures | undefined {
    const { segments, writer, limits, reserve } = this.#parts;
    if (!reserve.isWhole) return this.#victimOnFull(this.#before);
    const due = this.#dueToErase();
    if (due !== undefined) return due;
    const { log, live } = sizeOf(segments.all(), writer.position);
    return log <= startOf(limits, live) ? undefined : this.#leastLive(this.#before);
  }

  #leastLive(before: number): SegmentFigures | undefined {
    const { logPerLive } = this.#parts.limits;
    return leastLive(this.#candidates(before), { shareMax: 1 / logPerLive, liveMax: Infinity });
  }

  #victimOnFull(before: number): SegmentFigures | undefined {
    return leastLive(this.#candidates(before), { shareMax: FULL_SHARE, liveMax: this.#parts.reserve.bytesLeft / 2 });
  }

  #candidates(before: number): readonly SegmentFigures[] {
    return this.#parts.segments.partlyLive(before).filter(({ id, live }) => live < (this.#left.get(id) ?? Infinity));
  }

  async #empty({ id, bytes }: SegmentFigures, bytesPerSecond: number): Promise<void> {
    const { segments, reserve } = this.#parts;
    const held = segments.acquire(id);
    try {
      const walk = new SegmentWalk(held, bytes);
      while (!this.#isStopped && (segments.figures(id)?.live ?? 0) > 0) {
        const window = await walk.next();
        if (window === undefined) return;
        await reserve.use(() => this.#move(id, window), 'half');
        await this.#wait(window.buffer.length, bytesPerSecond);
      }
    } finally {
      await held.release();
    }
  }

  /** Moves what is live in the window. It may be repeated: what was moved before is not live in the window any more. */
  async #move(segment: number, window: Window): Promise<void> {
    const records = await this.#collect(window);
    const moves: Promise<void>[] = [];
    for (const [i, candidates] of records.all.entries()) {
      if (i % GROUPS_A_TURN === 0) await this.#nextTurn();
      if (this.#isStopped) break;
      for (const frame of this.#live.framesOf(segment, window, candidates)) moves.push(this.#append(frame));
    }
    await Promise.all(moves);
  }

  async #collect(window: Window): Promise<WindowRecords> {
    const records = new WindowRecords();
    for (const [from, to] of window.batches) {
      for (let at = from; at < to;) {
        at = records.collect(window, [at, to], FRAMES_A_TURN);
        await setImmediate();
      }
    }
    return records;
  }

  async #nextTurn(): Promise<void> {
    const { commit } = this.#parts;
    await setImmediate();
    await this.#engine.whenRoom();
    while (commit.waitingBytes > WAITING_BYTES_MAX && !this.#isStopped)
      await new Promise<void>((resolve) => commit.follow({ committed: () => resolve(), failed: () => resolve() }));
  }

  #append(frame: MovedFrame<SizedRecord>): Promise<void> {
    const { commit, table } = this.#parts;
    const moved = new Promise<void>((resolve, reject) => {
      commit.check();
      commit.add(frame, {
        committed: (location) => {
          table.relocate(frame, location);
          resolve();
        },
        failed: reject,
      });
    });
    // `#move` may find the error later than it arises.
    moved.catch(() => undefined);
    return moved;
  }

  #note(id: number): void {
    if (this.#isStopped) return;
    const figures = this.#parts.segments.figures(id);
    if (figures === undefined || figures.live <= 0) this.#left.delete(id);
    else this.#noteLeft(figures, `${figures.records} live records were not found in it whole`);
  }

  /** The segment stays as long as a topic points to it. */
  #noteLeft({ id }: SegmentFigures, why: string): void {
    const live = this.#parts.segments.figures(id)?.live ?? 0;
    if (live <= 0) return;
    this.#left.set(id, live);
    this.#parts.onWarning(`segment ${id} of the log cannot be emptied, and stays: ${why}`);
  }

  /** Bytes of segments to read in a second. */
  async #pace(): Promise<number> {
    const { files, segments, limits, time } = this.#parts;
    const [device, free] = await Promise.all([files.deviceBytes(segments.folder), files.freeBytes(segments.folder)]);
    const pace = limits.reclaimBytesPerSecond * (free < device * SHORT_SHARE ? SHORT_FACTOR : 1);
    return Math.max(pace, paceFor(this.#candidates(this.#before), limits.eraseWithinMs, time.now()));
  }

  async #wait(bytes: number, bytesPerSecond: number): Promise<void> {
    const ms = (bytes / bytesPerSecond) * 1000;
    if (this.#isStopped || !this.#parts.reserve.isWhole || ms < 1) return;
    await new Promise<void>((resolve) => {
      this.#sleep = { timer: this.#parts.clock.after(ms, resolve), wake: resolve };
    });
    this.#sleep = undefined;
  }
}

/** Bytes of the log from which on segments are emptied: the bound, less the room that the work itself takes until the
 *  segment that it has emptied is removed. */
function startOf({ logPerLive, spareSegments, segmentBytes }: LogLimits, live: number): number {
  return logPerLive * live + Math.max(0, spareSegments - WORK_SEGMENTS) * segmentBytes;
}
