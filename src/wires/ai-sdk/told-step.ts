// What one reader was told of the present step of an answer. A client that knows `reset-step` drops the parts of its
// present step, so text can be taken back there: the reset follows, and then the chunks of the parts that remain. Pure.
import type { Change } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';

interface ToldPart {
  /** UTF-16 code units of text, or of the arguments of a call. */
  length: number;
  isClosed: boolean;
  hasResult: boolean;
}

/** What remains of a step after a reset. */
export interface RetoldPart {
  readonly part: number;
  readonly text: string;
  readonly isClosed: boolean;
  readonly hasResult: boolean;
}

export class ToldStep {
  /** The first part of the step. */
  #from = 0;
  /** The step begins a leg, or the answer: what is before it stays as it is. */
  #isFirst = true;
  readonly #parts = new Map<number, ToldPart>();

  /** A result has come, so the next part begins a step. */
  get isOver(): boolean {
    return [...this.#parts.values()].some(({ hasResult }) => hasResult);
  }

  begin(part: number, isFirst = false): void {
    [this.#from, this.#isFirst] = [part, isFirst];
    this.#parts.clear();
  }

  note(change: Change, view: RunView): void {
    if (change.type === 'opened') this.#parts.set(change.part, { length: 0, isClosed: false, hasResult: false });
    const index =
      change.type === 'result'
        ? view.parts.findIndex(({ toolCallId }) => toolCallId === change.toolCallId)
        : 'part' in change
          ? change.part
          : -1;
    const part = this.#parts.get(index);
    if (part === undefined) return;
    if (change.type === 'delta') part.length += change.text.length;
    if (change.type === 'closed') part.isClosed = true;
    if (change.type === 'result') part.hasResult = true;
  }

  /** Takes back what lies behind a place, and returns the parts that remain. Undefined: the place is in an earlier
   *  step, or text before it is being said again and the fold does not hold it now. */
  rewind({ part, at }: Extract<Change, { type: 'rewound' }>, view: RunView): readonly RetoldPart[] | undefined {
    if (part < this.#from && !(part === this.#from - 1 && this.#isFirst)) return undefined;
    for (const index of [...this.#parts.keys()]) if (index > part) this.#parts.delete(index);
    const last = this.#parts.get(part);
    if (last !== undefined) [last.length, last.isClosed, last.hasResult] = [at, false, false];
    const told: RetoldPart[] = [];
    for (const [index, { length, isClosed, hasResult }] of this.#parts) {
      const viewed = view.parts[index];
      const text = viewed?.text.toString() ?? '';
      if (text.length < length || (hasResult && !view.results.has(viewed?.toolCallId ?? ''))) return undefined;
      told.push({ part: index, text: text.slice(0, length), isClosed, hasResult });
    }
    return told;
  }
}
