// Decides when a checkpoint is due: after a number of log bytes, of changed topics, or a time since the first change.
// Runs one at a time, and starts only at a batch boundary at which the log is flushed, because the index must never
// hold more than the log. Topics that change faster than checkpoints can write them wait (`holdsCommits`): otherwise
// the changed topics would fill the heap, and the capture of all of them would hold the event loop.
import type { Clock, Timer } from '../../../base/clock.ts';
import type { GroupCommit } from '../commit/group-commit.ts';
import { isCode } from '../disk/log-files.ts';
import type { LogLimits } from '../limits.ts';
import type { TopicTable } from '../topics/topic-table.ts';

/** What the engine decides and does about a checkpoint. */
export interface CheckpointWork {
  /** The device has no room, and a checkpoint would make some. */
  isNeededForRoom(): boolean;
  /** Writes a checkpoint, and removes from memory what the index then holds. Calls `captured` when commits may
   *  continue: in the same turn if few topics have changed. */
  writeCheckpoint(captured: () => void): Promise<void>;
}

/** Commits wait while a checkpoint is running and this many times `dirtyTopicsMax` topics have changed since it
 *  began. */
const DIRTY_FACTOR_MAX = 2;

export interface ScheduleParts {
  readonly clock: Clock;
  readonly limits: LogLimits;
  readonly table: TopicTable;
  readonly commit: GroupCommit;
}

export class CheckpointSchedule {
  readonly #clock: Clock;
  readonly #limits: LogLimits;
  readonly #table: TopicTable;
  readonly #commit: GroupCommit;
  readonly #engine: CheckpointWork;
  #bytes = 0;
  #due = false;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  /** The running checkpoint is still taking its image of the changes: no commit may change what it takes. */
  #isCapturing = false;
  #stopped = false;
  /** Callers of `whenRoom`: the expiry sweep and the reclaim, which wait before they continue. */
  #waiting: (() => void)[] = [];
  /** The last checkpoint found no room for itself: the next one waits for the interval. */
  #hasFailed = false;

  constructor({ clock, limits, table, commit }: ScheduleParts, engine: CheckpointWork) {
    this.#clock = clock;
    this.#limits = limits;
    this.#table = table;
    this.#commit = commit;
    this.#engine = engine;
  }

  /** Called between two batches, when no write is half applied. */
  atBatchBoundary(bytes: number): void {
    this.#bytes += bytes;
    if (this.#stopped || this.#running !== undefined) return;
    const dirty = this.#table.dirty.size;
    if (dirty > 0) this.#armTimer();
    const isDue = this.#due || this.#bytes >= this.#limits.checkpointBytes || dirty >= this.#limits.dirtyTopicsMax;
    if (!isDue && (this.#hasFailed || !this.#engine.isNeededForRoom())) return;
    if (this.#commit.synced) this.#start();
    else this.#commit.requestSync();
  }

  /** The next commit must wait for the running checkpoint. */
  get holdsCommits(): boolean {
    if (this.#isCapturing) return true;
    return this.#running !== undefined && this.#table.dirty.size >= DIRTY_FACTOR_MAX * this.#limits.dirtyTopicsMax;
  }

  /** Resolves when fewer than `dirtyTopicsMax` topics have changed since the last checkpoint, or when checkpoints find
   *  no room. Requests a checkpoint if more have. */
  async whenRoom(): Promise<void> {
    if (this.#hasRoom) return;
    this.request();
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get #hasRoom(): boolean {
    return this.#stopped || this.#hasFailed || this.#table.dirty.size < this.#limits.dirtyTopicsMax;
  }

  #notifyWaiting(): void {
    if (!this.#hasRoom) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Starts no other checkpoint. Callers of `whenRoom` continue: after an error of the log they would otherwise wait
   *  without an end, and the engine could not close. */
  end(): void {
    this.#stopped = true;
    this.#notifyWaiting();
    this.#timer?.cancel();
  }

  /** Waits for the running checkpoint, and starts no other. */
  async stop(): Promise<void> {
    this.end();
    await this.#running;
  }

  #armTimer(): void {
    this.#timer ??= this.#clock.after(this.#limits.checkpointIntervalMs, () => this.request());
  }

  /** Writes a checkpoint soon. */
  request(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#due = true;
    this.#commit.requestSync();
  }

  #start(): void {
    this.#due = false;
    this.#bytes = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isCapturing = true;
    this.#running = this.#engine
      .writeCheckpoint(() => this.#captured())
      .then(
        () => this.#finished(),
        (error: unknown) => this.#failed(error),
      );
  }

  #captured(): void {
    this.#isCapturing = false;
    this.#commit.resume();
  }

  /** What changed meanwhile needs the next checkpoint, also if no append follows. */
  #finished(): void {
    this.#running = undefined;
    this.#hasFailed = false;
    this.#commit.resume();
    this.#notifyWaiting();
    if (this.#stopped) return;
    if (this.#due || this.#table.dirty.size >= this.#limits.dirtyTopicsMax) this.request();
    else if (this.#table.dirty.size > 0) this.#armTimer();
  }

  /** After a lack of room the log is still the truth: the next checkpoint includes what this one could not write. */
  #failed(error: unknown): void {
    this.#running = undefined;
    this.#isCapturing = false;
    this.#hasFailed = true;
    this.#commit.resume();
    this.#notifyWaiting();
    if (!isCode(error, 'ENOSPC')) this.#commit.failNow(error);
    else this.#armTimer();
  }
}
