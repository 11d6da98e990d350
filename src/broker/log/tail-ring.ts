// Who has something new to read. An append marks the readers of its topic, one flag per reader; after each commit the
// ring is drained round-robin, one batch per reader. A reader's flag is cleared before it is served, so that what
// becomes visible while it is being served marks it again: no wake-up is lost, and nobody is scanned for.
import type { TailReader } from './tail-reader.ts';

/** Readers served in one turn of the event loop, so that a topic with thousands of viewers does not stop it. */
const READERS_PER_TURN = 1024;

/** The readers attached to one topic; undefined rather than an empty list, because most topics have none. */
export interface TopicReaders {
  all: TailReader[] | undefined;
}

export function addReader(readers: TopicReaders, reader: TailReader): void {
  if (readers.all === undefined) readers.all = [reader];
  else readers.all.push(reader);
}

export function removeReader(readers: TopicReaders, reader: TailReader): void {
  const rest = readers.all?.filter((one) => one !== reader) ?? [];
  readers.all = rest.length === 0 ? undefined : rest;
}

export class TailRing {
  #ready: TailReader[] = [];
  #draining = false;

  /** `major`: the append had a major record. Readers of majors only sleep through the rest. */
  mark(readers: TopicReaders, major: boolean): void {
    if (readers.all === undefined) return;
    for (const reader of readers.all) if (major || !reader.majorOnly) this.markReader(reader);
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
