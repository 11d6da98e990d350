// The LangGraph wire: one run as the server-sent events of the LangGraph API. The client resumes by itself with the id
// of the last event. The wire cannot take back text that it has sent: where another worker says something else, the
// stream ends with an error.
import type { ControlEvent, ParsedEvent, ProjectedWire, Projection, Seed } from '../../stream/projection.ts';
import type { Change } from '../../stream/run/run-change.ts';
import { ReaderFold } from '../../stream/run/reader-fold.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { isReply, LangGraphFrames, type LangGraphStream } from './frames.ts';

const BEAT = ': hb\n\n';

export function langGraphWire(stream: LangGraphStream): ProjectedWire {
  return {
    name: 'langgraph',
    framing: 'chunked',
    headers: { 'content-type': 'text/event-stream; charset=utf-8' },
    beat: BEAT,
    begin: () => BEAT,
    project: (seed) => new LangGraphProjection(seed, stream),
  };
}

/** A reader that comes is sent the run as it is now, and then what changes. One that comes back is sent the changes
 *  behind its position, as if its connection had not broken. */
class LangGraphProjection implements Projection {
  readonly #fold: ReaderFold;
  readonly #frames: LangGraphFrames;
  readonly #after: number;
  readonly #leg: number;
  /** The offset up to which the reader was first sent the run as it was. It was not shown what had been dropped by
   *  then. Undefined until it is sent. */
  #base: number | undefined;
  #isShown = false;
  /** Frames of the catch-up of a reader that comes back. */
  #unsent = '';
  #isLost = false;
  over: Projection['over'];

  constructor({ runId, after }: Seed, stream: LangGraphStream) {
    this.#fold = new ReaderFold(runId);
    this.#frames = new LangGraphFrames(runId, stream);
    this.#after = after ?? -1;
    this.#leg = stream.leg ?? 0;
    this.#base = after === undefined ? undefined : stream.base;
  }

  get #view(): RunView {
    return this.#fold.view;
  }

  folds(): Iterable<ReaderFold> {
    return [this.#fold];
  }

  get isComplete(): boolean {
    return this.#isLost || this.#frames.isOver || this.#view.isLegOver(this.#leg);
  }

  fold(events: readonly ParsedEvent[]): void {
    this.#unsent += this.#tell(events);
  }

  open(): string {
    if (this.#base !== undefined) return this.#finish(this.#unsent);
    this.#base = Math.max(0, this.#view.offset);
    this.#isLost = this.#view.isLost;
    this.#show();
    return this.#finish(this.#isLost ? '' : this.#frames.open(this.#view));
  }

  next(events: readonly ParsedEvent[]): string {
    return this.#finish(this.#tell(events));
  }

  control({ type }: ControlEvent): string {
    if (type === 'reset' || type === 'reconnect' || type === 'expired') this.over ??= 'break';
    return '';
  }

  #tell(events: readonly ParsedEvent[]): string {
    let text = '';
    for (const { event, offset } of events) {
      if (!this.#isShown && this.#base !== undefined && offset > this.#base) this.#show();
      for (const change of this.#fold.apply(event, offset)) {
        if (!this.#isShown || offset <= this.#after || !this.#isOfLeg(change)) continue;
        if (change.type === 'lost') this.#isLost = true;
        if (!this.#isLost) text += this.#frames.tell(change, this.#view, offset);
      }
    }
    return text;
  }

  /** A leg begins with the replies to what the one before it has asked for. */
  #isOfLeg(change: Change): boolean {
    const { type } = change;
    if (this.#view.leg === this.#leg) return type !== 'queued' || this.#leg === 0;
    if (type === 'result') return isReply(this.#view, change.toolCallId, this.#leg - 1);
    return type === 'ended' || type === 'lost';
  }

  #show(): void {
    this.#isShown = true;
    this.#frames.base = this.#base ?? 0;
    this.#view.show();
  }

  #finish(text: string): string {
    this.#unsent = '';
    if (this.#isLost) this.over ??= 'break';
    else if (this.#frames.isOver || this.#view.isLegOver(this.#leg)) this.over ??= 'end';
    return text;
  }
}
