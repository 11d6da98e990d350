// Cancels the runs of a worker that nobody watches: one timer and one read of the presence marks for all of them, at
// most as many as the worker has runs. Where the marks cannot be read, it assumes that somebody watches.
import type { Broker } from '../../broker/broker.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { isUnwatched, PRESENCE_MS, readPresence } from '../../session/stores/presence.ts';
import type { SessionRef } from '../../session/session-ref.ts';

interface WatchedRun {
  readonly ref: SessionRef;
  readonly unwatchedMs: number;
  readonly onUnwatched: () => void;
  mark: string | undefined;
  /** By the monotonic clock: the last time that a read found a new mark, or the start. */
  seenAt: number;
}

/** Receives the outcome of each read of the marks. */
export interface PresenceReads {
  readonly failed: (error: unknown) => void;
  readonly succeeded: () => void;
}

export class PresenceWatch {
  readonly #broker: Broker;
  readonly #clock: Clock;
  readonly #reads: PresenceReads;
  readonly #runs = new Set<WatchedRun>();
  #timer: Timer | undefined;

  constructor(broker: Broker, clock: Clock, reads: PresenceReads) {
    this.#broker = broker;
    this.#clock = clock;
    this.#reads = reads;
  }

  /** Calls `onUnwatched` at most once, and never after the returned function was called. */
  watch(ref: SessionRef, unwatchedMs: number, onUnwatched: () => void): () => void {
    const run = { ref, unwatchedMs, onUnwatched, mark: undefined, seenAt: this.#clock.mono() };
    this.#runs.add(run);
    this.#arm();
    return () => this.#forget(run);
  }

  #forget(run: WatchedRun): void {
    this.#runs.delete(run);
    if (this.#runs.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(PRESENCE_MS, () => {
      this.#timer = undefined;
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    const runs = [...this.#runs];
    const marks = await this.#read(runs);
    const now = this.#clock.mono();
    runs.forEach((run, i) => {
      const mark = marks?.[i];
      if (marks === undefined || (mark !== undefined && mark !== run.mark)) run.seenAt = now;
      run.mark = mark;
      if (!this.#runs.has(run) || !isUnwatched(now - run.seenAt, run.unwatchedMs)) return;
      this.#runs.delete(run);
      run.onUnwatched();
    });
    if (this.#runs.size > 0) this.#arm();
  }

  /** Undefined where the log could not be read. */
  async #read(runs: readonly WatchedRun[]): Promise<readonly (string | undefined)[] | undefined> {
    try {
      const marks = await readPresence(
        this.#broker,
        runs.map(({ ref }) => ref),
      );
      this.#reads.succeeded();
      return marks;
    } catch (error) {
      this.#reads.failed(error);
      return undefined;
    }
  }
}
