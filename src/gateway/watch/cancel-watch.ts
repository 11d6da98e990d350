// Ends a cancelled run whose worker is gone: after the grace period the node that received the cancel appends the end
// itself. That append checks whether the run has ended meanwhile, so the watch needs a timer and no subscription.
import { isRetryable } from '../../broker/errors.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { CANCEL_GRACE_MS, type Runs } from '../../session/runs.ts';
import type { SessionRef } from '../../session/session-ref.ts';

export interface CancelWatchOptions {
  readonly runs: Pick<Runs, 'endCancelled'>;
  readonly clock: Clock;
  /** Timers at once. Beyond this number, and when this node dies, only the run's worker ends a cancelled run. */
  readonly watchesMax: number;
  readonly onError: (error: unknown) => void;
}

export class CancelWatch {
  readonly #options: CancelWatchOptions;
  /** By run id. */
  readonly #timers = new Map<string, Timer>();
  #isClosed = false;

  constructor(options: CancelWatchOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#timers.size;
  }

  watch(ref: SessionRef, runId: string): void {
    const { clock, watchesMax } = this.#options;
    if (this.#isClosed || this.#timers.has(runId) || this.#timers.size >= watchesMax) return;
    this.#timers.set(
      runId,
      clock.after(CANCEL_GRACE_MS, () => void this.#end(ref, runId)),
    );
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  async #end(ref: SessionRef, runId: string): Promise<void> {
    this.#timers.delete(runId);
    try {
      await this.#options.runs.endCancelled(ref, runId);
    } catch (error) {
      this.#options.onError(error);
      // The log is full or cannot be reached: a later try can succeed.
      if (isRetryable(error)) this.watch(ref, runId);
    }
  }
}
