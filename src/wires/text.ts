// The text wire: one answer as plain text while it streams, without reasoning and tool calls. The wire cannot take back
// text that it has sent. So after a restart the stream continues only where the model repeats the dropped text exactly;
// otherwise, and where records are lost (what follows a gap would look whole), the gateway cuts the connection.
// Parts form one text here, so the wire compares repeated text itself: its view is never shown. [PROTOCOL §5]
import { LOST_UNIT } from '../stream/events/cut.ts';
import type { ControlEvent, ParsedEvent, ProjectedWire, Projection, Seed } from '../stream/projection.ts';
import { RunView } from '../stream/run/run-view.ts';

export const textWire: ProjectedWire = {
  name: 'text',
  framing: 'chunked',
  headers: { 'content-type': 'text/plain; charset=utf-8' },
  beat: '',
  begin: () => '',
  project: (seed) => new TextProjection(seed),
};

class TextProjection implements Projection {
  readonly #view: RunView;
  readonly #after: number;
  over: Projection['over'];
  /** UTF-16 code units of the run's visible text that the reader holds. */
  #shown = 0;
  /** Text behind `#shown` that the reader holds and a restart dropped. The model has to repeat it. */
  #dropped = '';
  /** Visible text behind `#shown` that the reader lacks. */
  #unsent = '';
  /** The last part with visible text, -1 without one. */
  #lastPart = -1;
  /** How the stream ends once `#unsent` has been sent. */
  #outcome: Projection['over'];

  constructor({ runId, after = -1 }: Seed) {
    this.#view = new RunView(runId);
    this.#after = after;
  }

  get isComplete(): boolean {
    return this.#outcome !== undefined;
  }

  fold(events: readonly ParsedEvent[]): void {
    for (const event of events) this.#apply(event, event.offset <= this.#after);
  }

  open(): string {
    return this.#flush();
  }

  next(events: readonly ParsedEvent[]): string {
    this.fold(events);
    return this.#flush();
  }

  /** Its view is never shown, so it holds another text than those of other wires after a restart. */
  folds(): Iterable<never> {
    return [];
  }

  control({ type }: ControlEvent): string {
    if (type === 'reset' || type === 'reconnect' || type === 'expired') this.over ??= 'break';
    return '';
  }

  /** `isHeld`: the reader received the event before, on another connection. */
  #apply({ offset, event }: ParsedEvent, isHeld: boolean): void {
    if (this.#outcome !== undefined) return;
    const before = event.type === 'run.restarted' ? this.#visible() : '';
    for (const change of this.#view.apply(event, offset)) {
      if (change.type === 'delta') {
        if (this.#view.parts[change.part]?.kind === 'text') this.#extend(change.part, change.text, isHeld);
      } else if (change.type === 'rewound') this.#rewind(before);
      else if (change.type === 'lost') this.#outcome = 'break';
      else if (change.type === 'ended') this.#outcome = this.#dropped === '' ? 'end' : 'break';
    }
  }

  #extend(part: number, text: string, isHeld: boolean): void {
    // The parts form one text, so the wire cannot insert into an earlier one.
    if (part < this.#lastPart) {
      this.#outcome = 'break';
      return;
    }
    this.#lastPart = part;
    const again = Math.min(text.length, this.#dropped.length);
    if (!isSame(text.slice(0, again), this.#dropped.slice(0, again), isHeld)) {
      if (!isHeld) {
        this.#outcome = 'break';
        return;
      }
      // The reader resumes with a position of a wire that can take text back.
      this.#dropped = '';
    }
    this.#dropped = this.#dropped.slice(again);
    this.#shown += isHeld ? text.length : again;
    if (!isHeld) this.#unsent += text.slice(again);
  }

  #rewind(before: string): void {
    let length = 0;
    this.#lastPart = -1;
    this.#view.parts.forEach(({ kind, text }, part) => {
      if (kind !== 'text' || text.length === 0) return;
      length += text.length;
      this.#lastPart = part;
    });
    this.#unsent = this.#unsent.slice(0, Math.max(0, length - this.#shown));
    if (length >= this.#shown) return;
    this.#dropped = before.slice(length, this.#shown) + this.#dropped;
    this.#shown = length;
  }

  #visible(): string {
    return this.#view.parts.map(({ kind, text }) => (kind === 'text' ? text.toString() : '')).join('');
  }

  #flush(): string {
    const text = this.#unsent;
    this.#shown += text.length;
    this.#unsent = '';
    this.over ??= this.#outcome;
    return text;
  }
}

/** Lost text equals any text while the reader already holds both and only their length counts. Text that the reader
 *  is yet to receive must be identical. */
function isSame(text: string, dropped: string, isHeld: boolean): boolean {
  if (!isHeld) return text === dropped;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] !== dropped[i] && text[i] !== LOST_UNIT && dropped[i] !== LOST_UNIT) return false;
  }
  return true;
}
