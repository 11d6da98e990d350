// Makes one projection the encoder of its reader's stream: it parses the events, folds those of catch-up, and opens the
// projection when the reader goes live, or when its run has ended.
import { parseEvent } from '../session/events/chat-event.ts';
import type { LostRecords } from './run/run-change.ts';
import type { ControlEvent, ParsedEvent, Projection, WireEncoder } from './projection.ts';
import type { WireEvent } from './wire-event.ts';

/** Parsed events by the list of a live batch. All readers of a batch receive the same list, so it is parsed once. */
const parsedLists = new WeakMap<readonly WireEvent[], readonly ParsedEvent[]>();

export class ProjectedEncoder implements WireEncoder {
  readonly key = undefined;
  readonly #projection: Projection;
  #isOpen = false;

  constructor(projection: Projection) {
    this.#projection = projection;
  }

  get over(): Projection['over'] {
    return this.#projection.over;
  }

  encodeEvents(_epoch: string, events: readonly WireEvent[]): string {
    if (this.over !== undefined) return '';
    const parsed = parse(events);
    if (this.#isOpen) return this.#projection.next(parsed);
    this.#projection.fold(parsed);
    return this.#projection.isComplete ? this.#open() : '';
  }

  encodeControl(event: ControlEvent): string {
    if (this.over !== undefined) return '';
    if (this.#isOpen || event.type !== 'live') return this.#projection.control(event);
    return this.#open() + this.#projection.control(event);
  }

  #open(): string {
    this.#isOpen = true;
    return this.#projection.open();
  }
}

function parse(events: readonly WireEvent[]): readonly ParsedEvent[] {
  const known = parsedLists.get(events);
  if (known !== undefined) return known;
  const parsed = events.map(({ offset, type, json }) => ({
    offset,
    event: type === 'lost' ? ({ type, ...(JSON.parse(json) as object) } as LostRecords) : parseEvent(type, json),
  }));
  parsedLists.set(events, parsed);
  return parsed;
}
