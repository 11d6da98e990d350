// One answer as a durable stream: its messages are the chunks of the AI SDK wire, and it closes with the answer. Each
// reading of one URL gives the same text: the answer as it was at one offset, and then the changes behind it, also
// those that a restart has dropped since. Otherwise a reader that comes back in the middle of a restart would lack the
// text that the fold takes for known. Pure.
import { LOST_UNIT } from '../../stream/events/cut.ts';
import type { ControlEvent, ParsedEvent, Projection } from '../../stream/projection.ts';
import type { Change } from '../../stream/run/run-change.ts';
import { ReaderFold } from '../../stream/run/reader-fold.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import type { Chunk } from '../ai-sdk/chunk.ts';
import { isPaused, RunChunks } from '../ai-sdk/chunks.ts';
import type { ViewEnd, ViewOutput } from './view-frames.ts';

export interface ChunkViewOptions {
  readonly runId: string;
  /** A reader without a position receives the answer as it was at this offset. */
  readonly from: number;
  /** The offset up to which the reader has everything. Undefined: it has nothing. */
  readonly after: number | undefined;
  readonly hasMetadata: boolean;
  /** The client knows `reset-step`. */
  readonly canReset: boolean;
  /** As in `ChunkOptions`. */
  readonly answered?: readonly string[] | undefined;
  readonly end: ViewEnd;
}

/** The client shows it as the error of its chat, and its page resumes the answer under another URL. */
const BROKEN: Chunk = { type: 'error', errorText: 'the stream cannot continue with this answer: resume it' };

export class ChunkView implements Projection {
  over: Projection['over'];
  readonly #options: ChunkViewOptions;
  readonly #output: ViewOutput;
  readonly #fold: ReaderFold;
  readonly #chunks: RunChunks;
  #messages: string[] = [];
  #next: number;
  #isShown = false;
  #isBroken = false;
  /** Complete behind the last event that this reader was given. Its fold may be further: another reader may have given
   *  the next event to it, and a reader that takes that for its own end is not sent the event. */
  #wasComplete = false;

  constructor(options: ChunkViewOptions, output: ViewOutput) {
    this.#options = options;
    this.#output = output;
    this.#fold = new ReaderFold(options.runId);
    const { hasMetadata, answered, canReset } = options;
    this.#chunks = new RunChunks({ hasData: false, hasMetadata, answered }, canReset);
    this.#next = (options.after ?? -1) + 1;
  }

  get #view(): RunView {
    return this.#fold.view;
  }

  folds(): Iterable<ReaderFold> {
    return [this.#fold];
  }

  get isComplete(): boolean {
    return this.#isBroken || this.#view.hasEnded || (this.#isShown && isPaused(this.#view));
  }

  fold(events: readonly ParsedEvent[]): void {
    for (const { event, offset } of events) {
      if (this.#wasComplete) return;
      if (!this.#isShown && offset > this.#options.from) this.#show();
      if (event.type === 'delta' && this.#isShown && event.text.includes(LOST_UNIT)) this.#break(offset);
      const changes = this.#fold.apply(event, offset);
      if (this.#isShown) this.#tell(changes, offset);
      this.#next = Math.max(this.#next, offset + 1);
      this.#wasComplete = this.isComplete;
    }
  }

  open(): string {
    if (!this.#isShown && !this.#isBroken) this.#show();
    const { end } = this.#options;
    if (end === 'caught-up' || (end === 'news' && this.#messages.length > 0)) this.over = 'end';
    return this.#flush();
  }

  next(events: readonly ParsedEvent[]): string {
    this.fold(events);
    if (this.#options.end === 'news' && this.#messages.length > 0) this.over = 'end';
    return this.#messages.length === 0 && !this.isComplete ? '' : this.#flush();
  }

  control({ type }: ControlEvent): string {
    if (type === 'reset') this.over = 'end';
    return '';
  }

  #show(): void {
    this.#isShown = true;
    this.#view.show();
    const { from } = this.#options;
    if (this.#view.isLost || this.#view.parts.some(({ text }) => text.toString().includes(LOST_UNIT)))
      this.#break(from);
    else this.#put(this.#chunks.open(this.#view), from);
  }

  #tell(changes: readonly Change[], offset: number): void {
    for (const change of changes) if (!this.#isBroken) this.#put(this.#chunks.tell(change, this.#view), offset);
  }

  /** The chunks are made also of what the reader has, so that they know what it was told. */
  #put(chunks: readonly Chunk[] | undefined, offset: number): void {
    if (chunks === undefined) this.#break(offset);
    else if (this.#isNews(offset)) for (const chunk of chunks) this.#messages.push(JSON.stringify(chunk));
  }

  #break(offset: number): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#next = Math.max(this.#next, offset + 1);
    // A reader behind this offset has lost its place, so it receives the error too.
    this.#messages.push(JSON.stringify(BROKEN));
  }

  #isNews(offset: number): boolean {
    const { after } = this.#options;
    return after === undefined || offset > after;
  }

  #flush(): string {
    const messages = this.#messages;
    this.#messages = [];
    const isClosed = this.isComplete;
    if (isClosed) this.over = 'end';
    return this.#output.put(messages, { next: this.#next, isUpToDate: true, isClosed });
  }
}
