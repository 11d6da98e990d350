// The frames of a run's items while they stream, for the APIs that show an answer as items. Each API has its own words
// for them. Each frame has a place that is the same on every node and at every reading: the offset of its record, and
// its number among the frames of that record. So a client resumes with the place of its last frame.
import type { Change, ViewedPart } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { itemId, itemKind, statusOf, type ItemKind, type ItemState, type ItemStatus } from './answer-items.ts';

/** The number of a delta in its record, at least: a merged delta then has the place of the last delta in it. No other
 *  record than the last one of a run has as many frames before its delta. */
export const DELTA_NUMBER = 7;

export interface FramePlace {
  readonly offset: number;
  readonly number: number;
}

/** One item as the client was sent it. */
export interface SentItem {
  readonly id: string;
  readonly of: ViewedPart;
  readonly kind: ItemKind;
  readonly index: number;
  /** Code units of text. */
  length: number;
  isDone: boolean;
}

export interface ItemFrame {
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How one API shows the items of a run. */
export interface ItemWords {
  /** Kinds of items that end with the result of their call. */
  readonly withResult: ReadonlySet<ItemKind>;
  /** Kinds of items that are shown once they are whole, and not while they grow. */
  readonly shownWhole: ReadonlySet<ItemKind>;
  /** `item`: has no content yet, unless its kind is shown whole. */
  begin(view: RunView, item: SentItem, state: ItemState): readonly ItemFrame[];
  /** The type, and the fields as JSON without braces. `json`: the text, encoded. */
  delta(item: SentItem, json: string): readonly [type: string, fields: string];
  /** No content follows. */
  endContent(item: SentItem, text: string): readonly ItemFrame[];
  endCall(item: SentItem, isFailed: boolean): readonly ItemFrame[];
  end(view: RunView, item: SentItem, state: ItemState): readonly ItemFrame[];
  /** '' if the reader holds the frame. `fields`: JSON without braces. */
  encode(type: string, fields: string, place: FramePlace): string;
}

export class ItemFrames {
  readonly #words: ItemWords;
  /** By part. */
  readonly #items = new Map<number, SentItem>();
  #itemCount = 0;
  #offset = -1;
  /** Of the start of the run, or of what continued it last. */
  #startedAt = -1;
  /** Frames before those of the items in the record that starts the leg. */
  #startFrames = 1;
  /** Parts of earlier legs. */
  #partsBefore = 0;
  /** Frames of the record at `#offset` so far. */
  #number = 0;
  /** Of the last frame, whether the client holds it or not. */
  #lastOffset = -1;
  /** Where the current record takes back what a restart dropped: the place of the next such frame. */
  #takenBack: { readonly offset: number; number: number } | undefined;
  /** Text of an item that replaces another one. It is sent with the next delta of the part. */
  #prefix: { readonly part: number; readonly text: string } | undefined;

  constructor(words: ItemWords) {
    this.#words = words;
  }

  /** What follows is another leg, whose items are shown as an answer of their own. `offset`: of the record that begins
   *  it. `frames`: those of that record which come before the items. */
  beginLeg(firstPart: number, offset: number, frames: number): void {
    [this.#partsBefore, this.#startedAt, this.#startFrames] = [firstPart, offset, frames];
  }

  /** The frames of the items. What else a change means to the API follows them, with `frame`. */
  tell(change: Change, view: RunView, offset: number): string {
    if (offset !== this.#offset) [this.#offset, this.#number, this.#takenBack] = [offset, 0, undefined];
    const isNext = change.type === 'delta' && change.part === this.#prefix?.part;
    const flushed = isNext ? '' : this.#flushPrefix(view);
    const told = (): string => this.#tell(change, view);
    return flushed + (this.#takesBack(change, view) ? this.#atRestart(told) : told());
  }

  /** What the first text that differs takes back, and the parts that it opens then. */
  #takesBack({ type }: Change, { restartedAt }: RunView): boolean {
    if (type !== 'rewound') return type === 'opened' && this.#takenBack?.offset === restartedAt;
    this.#takenBack = restartedAt > this.#lastOffset ? { offset: restartedAt, number: 0 } : undefined;
    return this.#takenBack !== undefined;
  }

  /** The delta that differs may be merged with others. The frames before it have places in the record of the restart,
   *  whose place does not depend on that. */
  #atRestart(tell: () => string): string {
    const place = this.#takenBack;
    if (place === undefined) return tell();
    const [offset, number] = [this.#offset, this.#number];
    [this.#offset, this.#number] = [place.offset, place.number];
    const frames = tell();
    place.number = this.#number;
    [this.#offset, this.#number] = [offset, number];
    return frames;
  }

  /** One more frame of the current record. */
  frame(type: string, fields: Readonly<Record<string, unknown>>): string {
    const place = { offset: this.#offset, number: this.#number };
    this.#number += 1;
    this.#lastOffset = this.#offset;
    // Places rise, so nothing behind this frame has a place in the record of the restart.
    if (this.#takenBack?.offset !== this.#offset) this.#takenBack = undefined;
    return this.#words.encode(type, JSON.stringify(fields).slice(1, -1), place);
  }

  /** An item that is no part of the answer, behind those that are. It is whole. */
  addWhole(type: (what: 'added' | 'done') => string, item: Readonly<Record<string, unknown>>): string {
    const fields = { output_index: this.#itemCount, item };
    this.#itemCount += 1;
    return this.frame(type('added'), fields) + this.frame(type('done'), fields);
  }

  /** Undefined: the client was sent no item of the part. */
  idOf(part: number): string | undefined {
    return this.#items.get(part)?.id;
  }

  #tell(change: Change, view: RunView): string {
    switch (change.type) {
      case 'started':
      // Frames of a wait may have been sent by then: the first text behind it begins behind them.
      case 'resumed':
        this.#startedAt = this.#offset;
        return '';
      case 'opened':
        return this.#open(view, change.part);
      case 'delta':
        return this.#delta(view, change.part, change.text);
      case 'closed':
        return this.#close(view, change.part);
      case 'result':
        return this.#settle(view, change.toolCallId);
      case 'rewound':
        return this.#rewind(view, change.part, change.at);
      default:
        return '';
    }
  }

  #frames(frames: readonly ItemFrame[]): string {
    return frames.map(({ type, fields }) => this.frame(type, fields)).join('');
  }

  #isWhole({ kind }: SentItem): boolean {
    return this.#words.shownWhole.has(kind);
  }

  #open(view: RunView, part: number): string {
    const opened = view.parts[part];
    if (opened === undefined) return '';
    // The first text has no event of its own: deltas open it, which may be merged. Its frames have places in the
    // record before it, whose place does not depend on that.
    const isImplicit = this.#itemCount === 0 && this.#startedAt >= 0 && opened.kind === 'text' && this.#number === 0;
    const [offset, number] = [this.#offset, this.#number];
    if (isImplicit) [this.#offset, this.#number] = [this.#startedAt, this.#startFrames];
    const kind = itemKind(opened);
    // Behind an item that was replaced, the number of the part alone may be that of an earlier item.
    const id = itemId(kind, view.runId, this.#itemCount + this.#partsBefore === part ? part : `${part}_${offset}`);
    const item: SentItem = { id, of: opened, kind, index: this.#itemCount, length: 0, isDone: false };
    this.#itemCount += 1;
    this.#items.set(part, item);
    const state = { id, text: '', status: 'in_progress', isEmpty: true } as const;
    const frames = this.#isWhole(item) ? '' : this.#frames(this.#words.begin(view, item, state));
    if (isImplicit) [this.#offset, this.#number] = [offset, number];
    return frames;
  }

  #delta(view: RunView, part: number, text: string): string {
    const isAgain = this.#items.get(part)?.isDone === true;
    const before = textOf(view, part).length - text.length;
    const replaced = isAgain ? this.#atRestart(() => this.#replace(view, part, before)) : '';
    const item = this.#items.get(part);
    if (item === undefined) return '';
    const told = (this.#prefix?.text ?? '') + text;
    this.#prefix = undefined;
    item.length += told.length;
    if (this.#isWhole(item)) return replaced;
    const number = Math.max(this.#number, DELTA_NUMBER);
    this.#number = number + 1;
    [this.#takenBack, this.#lastOffset] = [undefined, this.#offset];
    const [type, fields] = this.#words.delta(item, JSON.stringify(told));
    return replaced + this.#words.encode(type, fields, { offset: this.#offset, number });
  }

  #close(view: RunView, part: number): string {
    const item = this.#items.get(part);
    if (item === undefined || item.isDone) return '';
    item.isDone = true;
    const text = textOf(view, part);
    const state = { id: item.id, text, status: 'in_progress' } as const;
    const whole = this.#isWhole(item) ? this.#frames(this.#words.begin(view, item, state)) : '';
    const content = whole + this.#frames(this.#words.endContent(item, text));
    const hasResult = this.#words.withResult.has(item.kind) && view.results.has(item.of.toolCallId ?? '');
    // A call that ends before its run does, and without a result, waits for it.
    const isPending = hasResult || (this.#isWhole(item) && !view.hasEnded);
    return isPending ? content : content + this.#end(view, item, statusOf(view, part), text);
  }

  #end(view: RunView, item: SentItem, status: ItemStatus, text: string): string {
    return this.#frames(this.#words.end(view, item, { id: item.id, text, status }));
  }

  #settle(view: RunView, toolCallId: string): string {
    const part = view.parts.findIndex((one) => one.toolCallId === toolCallId);
    const item = this.#items.get(part);
    if (item === undefined || !this.#words.withResult.has(item.kind)) return '';
    const isFailed = view.results.get(toolCallId)?.error !== undefined;
    const ended = this.#frames(this.#words.endCall(item, isFailed));
    return ended + this.#end(view, item, 'completed', textOf(view, part));
  }

  /** Sent text cannot be taken back. An open item that is dropped or shortened is done as `incomplete`, and another
   *  item takes its place. */
  #rewind(view: RunView, part: number, at: number): string {
    let frames = '';
    for (const [dropped, item] of [...this.#items]) {
      if (dropped <= part) continue;
      frames += this.#drop(view, item);
      this.#items.delete(dropped);
    }
    const item = this.#items.get(part);
    return item === undefined || at === item.length ? frames : frames + this.#replace(view, part, at);
  }

  /** `at`: the code units of the part that come before its next delta. */
  #replace(view: RunView, part: number, at: number): string {
    const item = this.#items.get(part);
    const dropped = item === undefined ? '' : this.#drop(view, item);
    const opened = this.#open(view, part);
    this.#prefix = { part, text: textOf(view, part).slice(0, at) };
    return dropped + opened;
  }

  /** The item leaves the answer, so its text is not repeated. */
  #drop(view: RunView, item: SentItem): string {
    if (item.isDone) return '';
    item.isDone = true;
    // The client was never sent it.
    if (this.#isWhole(item)) return '';
    const state = { id: item.id, text: '', status: 'incomplete', isEmpty: true } as const;
    return this.#frames(this.#words.end(view, item, state));
  }

  #flushPrefix(view: RunView): string {
    return this.#prefix === undefined ? '' : this.#delta(view, this.#prefix.part, '');
  }
}

function textOf(view: RunView, part: number): string {
  return view.parts[part]?.text.toString() ?? '';
}
