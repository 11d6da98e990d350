// The live readers of one topic on this node that fold runs. Each event is given to all of them before the next one, so
// they can share one fold for each run: a node holds the text of an answer once, and not once for each reader, and
// folds each event once. A reader whose fold is another one keeps its own, until both are the same.
import { parseEvents } from './parse-events.ts';
import type { WireEvent } from './events/wire-event.ts';
import type { InStep, LiveReaders, ParsedEvent, Projection } from './projection.ts';
import type { ReaderFold } from './run/reader-fold.ts';

/** Batches after which a reader with a fold of its own looks for the same one among the others. Bounds what the search
 *  costs: it compares whole answers. A new run begins the count again. */
export const SEARCHES_MAX = 64;

export class Lockstep implements LiveReaders {
  readonly #readers = new Set<Reader>();
  /** Those that may share a fold later. */
  readonly #searching = new Set<Reader>();
  /** The batch that was given last. All readers of the topic take the same list. */
  #given: readonly WireEvent[] | undefined;

  join(projection: Projection, from: number): InStep {
    const reader = new Reader(this, projection, from);
    this.#readers.add(reader);
    if (this.#readers.size > 1) this.#search(reader);
    return reader;
  }

  leave(reader: Reader): void {
    this.#readers.delete(reader);
    this.#searching.delete(reader);
  }

  /** Gives a batch to all readers, unless one of them has taken it before. */
  give(events: readonly WireEvent[]): void {
    if (this.#given === events) return;
    const parsed = parseEvents(events);
    this.#given = events;
    // Before any of them is given one: if the frames of one reader fail, shared folds hold events that the others were
    // not given. A reader that went on with such a fold elsewhere would have their text twice.
    for (const reader of this.#readers) reader.expect(parsed.at(-1)?.offset ?? -1);
    for (const event of parsed) {
      const one = [event];
      for (const reader of this.#readers) reader.give(one, event.offset);
      if (event.event.type === 'run.queued' && this.#readers.size > 1) this.#searchAgain();
    }
    for (const reader of this.#searching) this.#search(reader);
  }

  /** Readers of all runs of a chat begin a fold for the new one. */
  #searchAgain(): void {
    for (const reader of this.#readers) {
      reader.searches = 0;
      this.#searching.add(reader);
    }
  }

  #search(reader: Reader): void {
    reader.searches += 1;
    let isDone = true;
    for (const fold of reader.projection.folds()) {
      const others = this.#othersOf(fold);
      const same = others.find(({ view }) => view.isSame(fold.view));
      if (same !== undefined) shareOne(fold, same);
      if (others.length > (same === undefined ? 0 : 1)) isDone = false;
    }
    if (isDone || reader.searches >= SEARCHES_MAX) this.#searching.delete(reader);
    else this.#searching.add(reader);
  }

  /** The other folds of a run that readers hold, each once. */
  #othersOf({ view: own }: ReaderFold): readonly ReaderFold[] {
    const others: ReaderFold[] = [];
    const seen = new Set([own]);
    for (const { projection } of this.#readers)
      for (const fold of projection.folds()) {
        if (fold.view.runId !== own.runId || seen.has(fold.view)) continue;
        seen.add(fold.view);
        others.push(fold);
      }
    return others;
  }
}

/** The reader of the fold with fewer readers moves. Otherwise two searches behind one batch could swap their folds. */
function shareOne(one: ReaderFold, other: ReaderFold): void {
  if (one.readers > other.readers) other.share(one);
  else one.share(other);
}

class Reader implements InStep {
  readonly projection: Projection;
  searches = 0;
  isAhead = false;
  readonly #lockstep: Lockstep;
  /** The first offset that it is given. */
  readonly #from: number;
  /** What it is sent of the events that it was given. */
  #text = '';

  constructor(lockstep: Lockstep, projection: Projection, from: number) {
    this.#lockstep = lockstep;
    this.projection = projection;
    this.#from = from;
  }

  /** `last`: the offset of the last event of the batch that it is given now. */
  expect(last: number): void {
    if (last >= this.#from) this.isAhead = true;
  }

  give(events: readonly ParsedEvent[], offset: number): void {
    if (offset < this.#from) return;
    if (this.projection.over === undefined) this.#text += this.projection.next(events);
  }

  take(events: readonly WireEvent[]): string {
    this.#lockstep.give(events);
    const text = this.#text;
    this.#text = '';
    this.isAhead = false;
    return text;
  }

  leave(isOver: boolean): void {
    this.#lockstep.leave(this);
    for (const fold of this.projection.folds()) fold.part(isOver);
  }
}
