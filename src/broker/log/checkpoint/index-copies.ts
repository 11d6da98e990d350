// Decides when the index gets another copy (index-copier.js), and whether segments may be removed: not before a copy of
// the index has the checkpoint that no longer points to them. Without them, the log could not make the index again.
// While another copy is being written, segments wait. If there is no room for a copy, they are removed all the same,
// because the room is needed more than a second index.
import type { Clock, Timer } from '../../../base/clock.ts';
import { isBrokerError } from '../../errors.ts';
import type { DiskReserve } from '../disk/disk-reserve.ts';
import { isCode } from '../disk/log-files.ts';
import type { LogLimits } from '../limits.ts';
import type { TopicIndex } from '../topics/topic-index.ts';

/** As index-copier.js writes it in one slice. */
const SLICE_BYTES = 256 * 1024;
/** After a copy has failed, the next one is tried no earlier. */
const RETRY_MS = 10 * 60 * 1000;

export interface CopyParts {
  readonly clock: Clock;
  readonly limits: Pick<LogLimits, 'copyBytesPerSecond'>;
  readonly index: Pick<TopicIndex, 'copy' | 'onCopy' | 'isDamaged' | 'noteDamage'>;
  readonly reserve: Pick<DiskReserve, 'isWhole'>;
  /** The index holds damage that was not repaired: a copy would read all of it, and could end the process. */
  readonly isDamaged: boolean;
  /** What is wrong with a page of the index, or undefined. Reads all pages, in a process of its own, until `signal`
   *  aborts. */
  readonly check: (signal: AbortSignal) => Promise<string | undefined>;
  readonly onWarning: (text: string) => void;
}

export class IndexCopies {
  readonly #parts: CopyParts;
  #requestCheckpoint: (() => void) | undefined;
  /** Segments are waiting for the copy. */
  #isAwaited = false;
  #failedAt = -Infinity;
  #hasWarned = false;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #sleep: { readonly timer: Timer; readonly wake: () => void } | undefined;

  constructor(parts: CopyParts) {
    this.#parts = parts;
  }

  /** Copies are written from now on. `requestCheckpoint` writes a checkpoint soon. */
  start(requestCheckpoint: () => void): void {
    this.#requestCheckpoint = requestCheckpoint;
    this.#writeIfDue();
    if (this.#running === undefined) this.#waitNoMore();
  }

  /** The segments that wait are removed by the next checkpoint. */
  #waitNoMore(): void {
    if (this.#isAwaited && !this.#isStopped) this.#requestCheckpoint?.();
    this.#isAwaited = false;
  }

  /** After a checkpoint: whether the segments may be removed to which it no longer points. They wait otherwise, and a
   *  checkpoint follows when they may. @throws the system's error: a copy that is too old cannot be removed */
  async mayRemove(areThereSome: boolean): Promise<boolean> {
    const { index } = this.#parts;
    this.#writeIfDue();
    if (!areThereSome || index.copy.isCurrent) return true;
    if (this.#requestCheckpoint === undefined || this.#running !== undefined) {
      this.#isAwaited = true;
      return false;
    }
    // A start that found it later would replay a log that lacks these segments.
    await index.onCopy('drop');
    this.#warn(index.copy.lost ?? 'no copy of it could be written');
    return true;
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#sleep?.timer.cancel();
    this.#sleep?.wake();
    await this.#running;
  }

  #writeIfDue(): void {
    const { index, reserve, clock, isDamaged } = this.#parts;
    if (this.#requestCheckpoint === undefined || this.#isStopped || this.#running !== undefined) return;
    if (!index.copy.isDue || isDamaged || index.isDamaged || !reserve.isWhole) return;
    if (clock.mono() < this.#failedAt + RETRY_MS) return;
    this.#running = this.#write().finally(() => {
      this.#running = undefined;
      this.#waitNoMore();
    });
  }

  async #write(): Promise<void> {
    const { index } = this.#parts;
    try {
      if (!(await this.#isReadable())) return;
      while (!this.#isStopped) {
        if (await index.onCopy('slice')) {
          this.#hasWarned = false;
          return;
        }
        await this.#wait();
      }
    } catch (error) {
      this.#failedAt = this.#parts.clock.mono();
      // Another process owns the folder, or the index is damaged: that is on record where it arose.
      if (isBrokerError(error)) return;
      this.#warn(isCode(error, 'ENOSPC') ? 'the device has no room for a copy of it' : messageOf(error));
    }
  }

  /** A copy reads all pages. Where an earlier copy could not make the index again, a damaged page must not end this
   *  process. */
  async #isReadable(): Promise<boolean> {
    const { index, check } = this.#parts;
    if (index.copy.isCurrent) return true;
    try {
      const damage = await check(this.#stopping.signal);
      if (damage !== undefined) index.noteDamage(damage);
      return damage === undefined;
    } catch (error) {
      this.#failedAt = this.#parts.clock.mono();
      if (!this.#isStopped) this.#warn(messageOf(error));
      return false;
    }
  }

  #warn(why: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#parts.onWarning(
      `the index has no copy that is up to date (${why}): if it is damaged before there is one, it cannot be made again from a log whose first segments were removed`,
    );
  }

  async #wait(): Promise<void> {
    const ms = (SLICE_BYTES / this.#parts.limits.copyBytesPerSecond) * 1000;
    if (this.#isStopped || ms < 1) return;
    await new Promise<void>((resolve) => {
      this.#sleep = { timer: this.#parts.clock.after(ms, resolve), wake: resolve };
    });
    this.#sleep = undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
