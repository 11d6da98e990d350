// The readers that have something new to read. A new record marks the readers of its topic, one flag per reader; then
// the engine drains the list, one batch per reader. The list clears a reader's flag before it wakes the reader, so that
// a record that becomes visible meanwhile marks it again: no wake-up is lost, and no search for readers is needed.
// The whole procedure is at the head of tail-reader.ts.
import type { TailReader } from './tail-reader.ts';

/** Readers that are served in one turn of the event loop: a topic with thousands of viewers must not block it. */
const READERS_PER_TURN = 1024;

export class WakeList {
  #ready: TailReader[] = [];
  #draining = false;

  /** `major`: the append had a major record. Only then readers of majors only are marked. */
  mark(readers: Iterable<TailReader>, major: boolean): void {
    for (const reader of readers) if (major || !reader.majorOnly) this.markReader(reader);
  }

  markReader(reader: TailReader): void {
    if (reader.marked) return;
    reader.marked = true;
    this.#ready.push(reader);
  }

  /** Wakes every marked reader. */
  drain(): void {
    if (this.#draining || this.#ready.length === 0) return;
    this.#draining = true;
    const ready = this.#ready;
    this.#ready = [];
    this.#serve(ready, 0);
  }

  #serve(ready: readonly TailReader[], from: number): void {
    const to = Math.min(ready.length, from + READERS_PER_TURN);
    for (let i = from; i < to; i++) {
      const reader = ready[i];
      if (reader === undefined) continue;
      reader.marked = false;
      reader.wake();
    }
    if (to < ready.length) {
      setImmediate(() => this.#serve(ready, to));
      return;
    }
    this.#draining = false;
    this.drain();
  }
}
