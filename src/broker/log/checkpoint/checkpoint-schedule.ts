// Decides when a checkpoint is due: after a number of log bytes, of changed topics, or a time since the first change.
// Runs one at a time, and starts only at a batch boundary at which the log is flushed, because the index must never
// hold more than the log.
import type { Clock, Timer } from '../../../base/clock.ts';
import type { GroupCommit } from '../commit/group-commit.ts';
import { isCode } from '../disk/log-files.ts';
import type { LogLimits } from '../limits.ts';
import type { TopicTable } from '../topics/topic-table.ts';

/** What the engine decides and does about a checkpoint. */
export interface CheckpointWork {
  /** The device has no room, and a checkpoint would make some. */
  isNeededForRoom(): boolean;
  writeCheckpoint(): Promise<void>;
}

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
  #stopped = false;
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
    if (dirty > 0) this.#timer ??= this.#clock.after(this.#limits.checkpointIntervalMs, () => this.#timeIsUp());
    const isDue = this.#due || this.#bytes >= this.#limits.checkpointBytes || dirty >= this.#limits.dirtyTopicsMax;
    if (!isDue && (this.#hasFailed || !this.#engine.isNeededForRoom())) return;
    if (this.#commit.synced) this.#start();
    else this.#commit.requestSync();
  }

  /** Waits for the running checkpoint, and starts no other. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #timeIsUp(): void {
    this.#timer = undefined;
    this.#due = true;
    this.#commit.requestSync();
  }

  #start(): void {
    this.#due = false;
    this.#bytes = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#running = this.#engine.writeCheckpoint().then(
      () => this.#finished(),
      (error: unknown) => this.#failed(error),
    );
  }

  #finished(): void {
    this.#running = undefined;
    this.#hasFailed = false;
    // Topics that changed meanwhile would otherwise stay in memory until the next append.
    if (!this.#stopped && this.#table.dirty.size > 0) this.#commit.requestSync();
  }

  /** After a lack of room the log is still the truth: the next checkpoint includes what this one could not write. */
  #failed(error: unknown): void {
    this.#running = undefined;
    this.#hasFailed = true;
    if (!isCode(error, 'ENOSPC')) this.#commit.failNow(error);
    else this.#timer = this.#clock.after(this.#limits.checkpointIntervalMs, () => this.#timeIsUp());
  }
}
