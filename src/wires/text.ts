// The text wire: one answer as plain text while it streams, without reasoning and tool calls. What was sent cannot be taken
// back, so a restart is shown only where the model says the same text again; otherwise the connection breaks.
// [PROTOCOL §5]
import { LOST_UNIT } from '../stream/cut.ts';
import type { ChatEvent } from '../session/events/chat-event.ts';
import type { ControlEvent, ParsedEvent, ProjectedWire, Projection, Seed } from '../stream/projection.ts';
import { RunView } from '../stream/run-view.ts';

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
  /** Code units of the run's visible text that the reader holds. */
  #shown = 0;
  /** What the reader holds behind `#shown`: a restart dropped it, and the model has to say it again. */
  #dropped = '';
  /** Visible text behind `#shown`. */
  #unsent = '';
  /** How the stream ends once `#unsent` is sent. */
  #outcome: Projection['over'];

  constructor({ runId, after = -1 }: Seed) {
    this.#view = new RunView(runId);
    this.#after = after;
  }

  fold(events: readonly ParsedEvent[]): void {
    for (const { offset, event } of events) this.#apply(event, offset <= this.#after);
  }

  open(): string {
    return this.#flush();
  }

  next(events: readonly ParsedEvent[]): string {
    this.fold(events);
    return this.#flush();
  }

  control({ type }: ControlEvent): string {
    if (type === 'reset' || type === 'reconnect' || type === 'expired') this.over ??= 'break';
    return '';
  }

  /** `isHeld`: the reader was sent it before, on another connection. */
  #apply(event: ChatEvent, isHeld: boolean): void {
    if (this.#outcome !== undefined) return;
    const before = event.type === 'run.restarted' ? this.#visible() : '';
    for (const change of this.#view.apply(event)) {
      if (change.type === 'delta' && this.#view.parts[change.part]?.kind === 'text')
        this.#extend(change.part, change.text, isHeld);
      else if (change.type === 'rewound') this.#rewind(before);
      else if (change.type === 'ended') this.#outcome = this.#dropped === '' ? 'end' : 'break';
    }
  }

  #extend(part: number, text: string, isHeld: boolean): void {
    // The parts are one text: there is no way back into an earlier one.
    if (this.#view.parts.slice(part + 1).some(({ kind }) => kind === 'text')) this.#outcome = 'break';
    const again = Math.min(text.length, this.#dropped.length);
    if (!isSame(text.slice(0, again), this.#dropped.slice(0, again), isHeld)) {
      if (!isHeld) {
        this.#outcome = 'break';
        return;
      }
      // The position is one of a wire that can take text back.
      this.#dropped = '';
    }
    this.#dropped = this.#dropped.slice(again);
    this.#shown += isHeld ? text.length : again;
    if (!isHeld) this.#unsent += text.slice(again);
  }

  #rewind(before: string): void {
    const length = this.#view.parts.reduce((sum, { kind, text }) => (kind === 'text' ? sum + text.length : sum), 0);
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

/** Text that the log has lost equals any text as long as it is only counted, and none once it matters. */
function isSame(text: string, dropped: string, isHeld: boolean): boolean {
  if (!isHeld) return text === dropped;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] !== dropped[i] && text[i] !== LOST_UNIT && dropped[i] !== LOST_UNIT) return false;
  }
  return true;
}
