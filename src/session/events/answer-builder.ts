// Builds the answer of a run: the text of its parts, and the log records that hold it. The worker adds what it appends;
// a takeover adds the records of the log. The builder gives the answer's records, the ranges that they supersede, and
// the marks that keep every position inside those ranges valid.
import { SUPERSEDES_MAX } from '../../broker/broker.ts';
import type { ChatEvent, PartKind, PartStarted, RunAnswer, RunRestarted } from './chat-event.ts';
import { LengthList, type DeltaMark } from './delta-mark.ts';
import { TextBuffer } from './text-buffer.ts';

/** UTF-16 code units of one answer, all parts together. A run with more fails. This bounds the terminal append, the
 *  marks and the merged prefix of a reader. */
export const ANSWER_CHARS_MAX = 2 * 1024 * 1024;
/** UTF-16 code units of one `run.answer`: at most 192 KiB of UTF-8 (three bytes each), below a record's limit. */
export const ANSWER_CHUNK_CHARS = 64 * 1024;
/** Parts of one run. */
export const ANSWER_PARTS_MAX = 1024;

export interface AnswerPart {
  readonly kind: PartKind;
  readonly text: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
}

interface BuildingPart {
  readonly head: Omit<AnswerPart, 'text'>;
  readonly text: TextBuffer;
}

/** Adjacent records that are deltas of one part. */
interface DeltaRange {
  readonly from: number;
  readonly part: number;
  readonly at: number;
  readonly lengths: LengthList;
  /** Of the part. */
  readonly text: TextBuffer;
  /** Code units from `at` on that later restarts kept. */
  keep: number;
}

export class AnswerBuilder {
  #parts: BuildingPart[] = [];
  #ranges: DeltaRange[] = [];
  /** The last range. Every token of a live run is added to it. */
  #range: DeltaRange | undefined;
  #length = 0;
  /** The first part of the leg that was written last. */
  #legStart = 0;
  /** Offsets of the last `run.restarted` or `run.resumed`, and `part.started`, that came from the log. */
  #restartedAt = -1;
  #startedPartAt = -1;

  /** Whether the run has grown since its last start. Only for a run that was read from the log. */
  get hasGrown(): boolean {
    const last = this.#ranges.at(-1);
    const lastDeltaAt = last === undefined ? -1 : last.from + last.lengths.count - 1;
    return Math.max(lastDeltaAt, this.#startedPartAt) > this.#restartedAt;
  }

  /** Code units of all parts. */
  get length(): number {
    return this.#length;
  }

  /** The first part of the leg that was written last. A restart keeps all parts before it. */
  get legStart(): number {
    return this.#legStart;
  }

  get partCount(): number {
    return this.#parts.length;
  }

  /** Code units of a part so far, which is the `at` of its next delta. */
  partLength(part: number): number {
    return this.#parts[part]?.text.length ?? 0;
  }

  partKind(part: number): PartKind | undefined {
    return this.#parts[part]?.head.kind;
  }

  /** Applies an event of this run, in log order. Ignores events that do not change the answer. */
  apply(event: ChatEvent, offset: number): void {
    switch (event.type) {
      case 'part.started':
        this.#startedPartAt = offset;
        this.startPart(event);
        return;
      case 'delta':
        this.addDelta(event.part, event.kind, event.text, offset);
        return;
      case 'run.restarted':
        this.#restartedAt = offset;
        this.restart(event);
        return;
      case 'run.resumed':
        this.#restartedAt = offset;
        this.#legStart = this.#parts.length;
        return;
      default:
        return;
    }
  }

  startPart({ part, kind, toolCallId, toolName }: Omit<PartStarted, 'type' | 'runId'>): void {
    const call = toolCallId === undefined ? {} : { toolCallId };
    const tool = toolName === undefined ? {} : { toolName };
    this.#begin(part, { kind, ...call, ...tool });
  }

  addDelta(part: number, kind: PartKind, text: string, offset: number): void {
    const last = this.#range;
    const range =
      last?.part === part && last.from + last.lengths.count === offset ? last : this.#beginRange(part, kind, offset);
    range.lengths.push(text.length);
    range.keep += text.length;
    range.text.append(text);
    this.#length += text.length;
  }

  restart({ part, at }: Pick<RunRestarted, 'part' | 'at'>): void {
    for (const range of this.#ranges) {
      if (range.part > part) range.keep = 0;
      if (range.part === part) range.keep = Math.min(range.keep, Math.max(0, at - range.at));
    }
    this.#parts = this.#parts.slice(0, part + 1);
    const last = this.#parts[part];
    if (last !== undefined) {
      last.text.truncate(at);
      // A part that was dropped whole starts again, and may then be of another kind.
      if (last.text.length === 0) this.#parts.length = part;
    }
    this.#length = this.#parts.reduce((sum, one) => sum + one.text.length, 0);
  }

  parts(): AnswerPart[] {
    return this.#parts.map(({ head, text }) => ({ ...head, text: text.toString() }));
  }

  /** Of the text parts, as `run.completed.length` counts. */
  textLength(): number {
    return this.#parts.reduce((sum, part) => (part.head.kind === 'text' ? sum + part.text.length : sum), 0);
  }

  supersedes(): [number, number][] {
    return this.#superseded().map((range) => [range.from, range.from + range.lengths.count - 1]);
  }

  marks(): DeltaMark[] {
    return this.#superseded().map(({ from, part, at, keep, lengths }) => ({
      from,
      part,
      at,
      keep,
      lengths: lengths.encode(),
    }));
  }

  /** Ranges beyond the limit of one append stay in the log. */
  #superseded(): DeltaRange[] {
    return this.#ranges.slice(0, SUPERSEDES_MAX);
  }

  #begin(part: number, head: Omit<AnswerPart, 'text'>): BuildingPart {
    const begun = { head, text: new TextBuffer() };
    this.#parts[part] = begun;
    return begun;
  }

  #beginRange(part: number, kind: PartKind, from: number): DeltaRange {
    const { text } = this.#parts[part] ?? this.#begin(part, { kind });
    const range = { from, part, at: text.length, lengths: new LengthList(), text, keep: 0 };
    this.#ranges.push(range);
    this.#range = range;
    return range;
  }
}

/** The answer as records of bounded size, in reading order. */
export function answerEvents(runId: string, messageId: string, parts: readonly AnswerPart[]): RunAnswer[] {
  return parts.flatMap(({ kind, text }, part) => {
    const events: RunAnswer[] = [];
    for (let at = 0; at < text.length;) {
      const end = wholeCharacterEnd(text, at + ANSWER_CHUNK_CHARS);
      events.push({ type: 'run.answer', runId, messageId, part, kind, at, text: text.slice(at, end) });
      at = end;
    }
    return events;
  });
}

/** `end`, or one less if it would split a surrogate pair. */
export function wholeCharacterEnd(text: string, end: number): number {
  if (end >= text.length) return text.length;
  const code = text.charCodeAt(end - 1);
  return code >= 0xd800 && code <= 0xdbff ? end - 1 : end;
}
