// When a checkpoint is due: after so much log, so many changed topics, or so long since the first change; one at a time,
// and only at a batch boundary where the log is flushed, because the index must never know of more than the log holds.
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
  /** The last one did not find room for itself: the next waits for its time. */
  #hasFailed = false;

  constructor({ clock, limits, table, commit }: ScheduleParts, engine: CheckpointWork) {
    this.#clock = clock;
    this.#limits = limits;
    this.#table = table;
    this.#commit = commit;
    this.#engine = engine;
  }

  /** Between two batches: nothing is half applied now. */
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

  /** Waits for the one under way, and begins no other. */
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
  }

  /** Without room the log is still the truth: the next one takes along what this one could not write. */
  #failed(error: unknown): void {
    this.#running = undefined;
    this.#hasFailed = true;
    if (!isCode(error, 'ENOSPC')) this.#commit.failNow(error);
    else this.#timer = this.#clock.after(this.#limits.checkpointIntervalMs, () => this.#timeIsUp());
  }
}
