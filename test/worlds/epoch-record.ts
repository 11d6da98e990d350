// One epoch of a session: the first observation of everything that any reader saw in it. Owns rule C1, one position
// never has two contents. Deltas are compared in the text that they have in common, because a merged delta begins
// earlier; other events are compared whole.
import type { Position } from '../../src/broker/position.ts';
import { canonical, readDelta, textField, type SeenDelta } from './event-fields.ts';
import type { EventSeen } from './history.ts';
import type { Story } from './story.ts';
import type { Violations } from './violation.ts';

export interface FirstSeen {
  readonly type: string;
  readonly data: EventSeen['data'];
  readonly canonical: string;
  readonly reader: string;
  readonly t: number;
}

export class EpochRecord {
  readonly session: string;
  readonly epoch: string;
  /** Every event except deltas, by offset. */
  readonly events = new Map<number, FirstSeen>();
  readonly #deltas = new Map<number, { delta: SeenDelta; reader: string }>();
  /** Run → the messageId of its prompt. */
  readonly promptOf = new Map<string, string>();
  /** The final read, if the session is in this epoch at the end. */
  story: Story | undefined;

  constructor(session: string, epoch: string) {
    this.session = session;
    this.epoch = epoch;
  }

  name(offset: number): string {
    return `${this.session} at ${this.epoch}.${offset}`;
  }

  add({ reader, type, data }: EventSeen, { offset }: Position, t: number, found: Violations): void {
    if (type === 'delta') this.#addDelta(reader, offset, readDelta(data), found);
    else this.#addEvent({ type, data, canonical: canonical(data), reader, t }, offset, found);
  }

  #addEvent(seen: FirstSeen, offset: number, found: Violations): void {
    const delta = this.#deltas.get(offset);
    if (delta !== undefined)
      found.add('C1', `${this.name(offset)}: ${delta.reader} saw a delta, ${seen.reader} saw ${seen.type}`);
    const known = this.events.get(offset);
    if (known === undefined) {
      this.events.set(offset, seen);
      if (seen.type === 'run.queued')
        this.promptOf.set(textField(seen.data, 'runId'), textField(seen.data, 'messageId'));
    } else if (known.type !== seen.type || known.canonical !== seen.canonical) {
      found.add(
        'C1',
        `${this.name(offset)}: ${known.reader} saw ${known.type} ${known.canonical}, ${seen.reader} saw ${seen.type} ${seen.canonical}`,
      );
    }
  }

  #addDelta(reader: string, offset: number, delta: SeenDelta, found: Violations): void {
    const event = this.events.get(offset);
    if (event !== undefined)
      found.add('C1', `${this.name(offset)}: ${event.reader} saw ${event.type}, ${reader} saw a delta`);
    const known = this.#deltas.get(offset);
    if (known !== undefined && !agree(known.delta, delta)) {
      found.add(
        'C1',
        `${this.name(offset)}: ${known.reader} and ${reader} saw deltas that differ: ${JSON.stringify(known.delta)} and ${JSON.stringify(delta)}`,
      );
    }
    // The longest delta begins earliest, so it has the most text in common with the next one.
    if (known === undefined || delta.text.length > known.delta.text.length) this.#deltas.set(offset, { delta, reader });
  }
}

function agree(a: SeenDelta, b: SeenDelta): boolean {
  if (a.runId !== b.runId || a.messageId !== b.messageId || a.part !== b.part || a.partKind !== b.partKind)
    return false;
  const from = Math.max(a.at, b.at);
  const to = Math.min(a.at + a.text.length, b.at + b.text.length);
  return to <= from || a.text.slice(from - a.at, to - a.at) === b.text.slice(from - b.at, to - b.at);
}
