// Who has something new to read. What is new in a topic marks its readers, one flag per reader; then the engine drains
// the ring round-robin, one batch per reader. A reader's flag is cleared before it is served, so that what
// becomes visible while it is being served marks it again: no wake-up is lost, and nobody is scanned for.
import type { TailReader } from './tail-reader.ts';

/** Readers served in one turn of the event loop, so that a topic with thousands of viewers does not stop it. */
const READERS_PER_TURN = 1024;

export class WakeList {
  #ready: TailReader[] = [];
  #draining = false;

  /** `major`: the append had a major record. Readers of majors only sleep through the rest. */
  mark(readers: Iterable<TailReader>, major: boolean): void {
    for (const reader of readers) if (major || !reader.majorOnly) this.markReader(reader);
  }

  markReader(reader: TailReader): void {
    if (reader.marked) return;
    reader.marked = true;
    this.#ready.push(reader);
  }

  /** Serves everybody who is marked and waits. */
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
