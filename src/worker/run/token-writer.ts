// Writes what a model says into the chat at the log's own pace: one append is under way per run, and what
// arrives in the meantime goes into the next. So a slow disk makes larger batches, not longer queues.
// Owns the run's (fence, seq) count and feeds the answer builder with what is durable.
import type { Appended, Broker, NewRecord } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Clock } from '../../base/clock.ts';
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import { ANSWER_PARTS_MAX } from '../../session/events/answer-builder.ts';
import { encodeEvent, type PartKind, type PartStarted, type ToolResult } from '../../session/events/chat-event.ts';
import { deltaHead, encodeDelta } from '../../session/events/delta-json.ts';
import { persistAfter } from '../persist.ts';
import type { ProviderEvent } from '../provider.ts';

/** UTF-16 code units that may wait for the append under way; beyond it the upstream is not read on. */
export const WRITER_PENDING_CHARS_MAX = 256 * 1024;
/** UTF-16 code units of one delta record; three bytes each at most, far below a record's limit. */
const DELTA_CHARS_MAX = 64 * 1024;
/** UTF-16 code units of one tool's result, as JSON: a record of its own, that every reader gets whole. */
export const TOOL_RESULT_CHARS_MAX = 64 * 1024;

/** What a run says may not grow without end. */
export class AnswerTooLargeError extends Error {
  override readonly name = 'AnswerTooLargeError';
}

interface DeltaPiece {
  readonly kind: 'delta';
  readonly part: number;
  readonly partKind: PartKind;
  /** UTF-16 code units of the part before it. */
  readonly at: number;
  text: string;
}

/** A part that more may be said of. */
interface OpenPart {
  readonly part: number;
  readonly kind: PartKind;
  /** UTF-16 code units said of it. */
  chars: number;
  /** A high surrogate whose other half has not arrived. */
  half: string;
}

type Piece =
  | DeltaPiece
  | { readonly kind: 'start'; readonly event: PartStarted }
  | { readonly kind: 'result'; readonly event: ToolResult };

const REPLACEMENT_CHARACTER = '\ufffd';

/** Never pushed to. */
const NO_PIECES: Piece[] = [];

export interface WriterTarget {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly fence: number;
  readonly runId: string;
  readonly answerId: string;
  /** UTF-16 code units of the whole answer, what an earlier attempt said included. */
  readonly charsMax: number;
}

export class TokenWriter {
  readonly #broker: Broker;
  readonly #clock: Clock;
  readonly #target: WriterTarget;
  /** Beside the target: what every token asks for. */
  readonly #topic: LiteTopicName;
  readonly #fence: number;
  readonly #charsMax: number;
  readonly #answer: AnswerBuilder;
  #pieces = NO_PIECES;
  #pendingChars = 0;
  #written: number;
  /** The part that began last: what text and reasoning go on with. */
  #last: OpenPart | undefined;
  /** The part of each tool call, by its index: pieces of several calls may come in turn. */
  readonly #calls = new Map<number, OpenPart>();
  #seq = 1;
  #head = '';
  #headPart = -1;
  #flushing: Promise<void> | undefined;
  /** What the append under way says. */
  #inFlight: readonly Piece[] = NO_PIECES;
  readonly #expect: { readonly epoch: string };
  #failure: Error | undefined;
  readonly #abandoned: AbortSignal;
  readonly #onFailure: () => void;

  /** `answer` holds what an earlier attempt left standing. After `abandoned` an append that the broker cannot take is not tried
   *  again: whoever goes on with the run says it anew. `onFailure` is called once, when an append is refused. */
  constructor(
    broker: Broker,
    clock: Clock,
    target: WriterTarget,
    answer: AnswerBuilder,
    abandoned: AbortSignal,
    onFailure: () => void,
  ) {
    this.#broker = broker;
    this.#clock = clock;
    this.#target = target;
    this.#topic = target.topic;
    this.#fence = target.fence;
    this.#charsMax = target.charsMax;
    this.#answer = answer;
    this.#abandoned = abandoned;
    this.#onFailure = onFailure;
    this.#expect = { epoch: target.epoch };
    this.#written = answer.length;
    const part = answer.partCount - 1;
    const kind = answer.partKind(part);
    if (kind !== undefined) this.#last = { part, kind, chars: answer.partLength(part), half: '' };
  }

  /** The number of the run's next fenced append. Only true once `settled`. */
  get nextSeq(): number {
    return this.#seq;
  }

  /** Takes what the model says. Sync: it never waits for the log. @throws AnswerTooLargeError */
  push(event: Extract<ProviderEvent, { type: 'text' | 'reasoning' | 'tool-call' | 'tool-result' }>): void {
    if (event.type === 'tool-result') {
      this.#addResult(event);
    } else if (event.type === 'tool-call') {
      this.#addDelta(this.#calls.get(event.index) ?? this.#startToolCall(event), event.argumentsText);
    } else {
      const last = this.#last;
      this.#addDelta(last?.kind === event.type ? last : this.#startPart(event.type), event.text);
    }
    this.#kick();
  }

  /** Must the upstream wait? Then wait for `drained`. */
  get isFull(): boolean {
    return this.#pendingChars > WRITER_PENDING_CHARS_MAX;
  }

  /** The model says no more, and everything is durable. @throws what refused an append */
  async settled(): Promise<void> {
    this.#flushHalfCharacters();
    await this.drained();
  }

  /** Everything is durable, but for half a character whose other half may come. @throws what refused an append */
  async drained(): Promise<void> {
    this.#kick();
    while (this.#flushing !== undefined) await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #startToolCall(event: Extract<ProviderEvent, { type: 'tool-call' }>): OpenPart {
    const id = event.id === undefined ? {} : { toolCallId: event.id };
    const name = event.name === undefined ? {} : { toolName: event.name };
    const part = this.#startPart('tool-call', { ...id, ...name });
    this.#calls.set(event.index, part);
    return part;
  }

  #startPart(kind: PartKind, call: Pick<PartStarted, 'toolCallId' | 'toolName'> = {}): OpenPart {
    const part = this.#last === undefined ? 0 : this.#last.part + 1;
    if (part >= ANSWER_PARTS_MAX) throw new AnswerTooLargeError('too many parts');
    if (this.#last !== undefined && this.#last.kind !== 'tool-call') this.#flushHalfCharacter(this.#last);
    const open: OpenPart = { part, kind, chars: 0, half: '' };
    this.#last = open;
    // [PROTOCOL §4] may be left out for a text part 0, which is what most answers are.
    if (part > 0 || kind !== 'text')
      this.#enqueue({ kind: 'start', event: { type: 'part.started', runId: this.#target.runId, part, kind, ...call } });
    return open;
  }

  /** Results stay in the log beside the answer, so they count as it does. */
  #addResult({ toolCallId, result, error }: Extract<ProviderEvent, { type: 'tool-result' }>): void {
    const outcome = error === undefined ? { result: result ?? null } : { error };
    const { length } = JSON.stringify(error ?? result ?? null);
    if (length > TOOL_RESULT_CHARS_MAX) throw new AnswerTooLargeError('the result of a tool is too large');
    this.#count(length);
    this.#enqueue({
      kind: 'result',
      event: { type: 'tool.result', runId: this.#target.runId, toolCallId, ...outcome },
    });
  }

  #count(chars: number): void {
    this.#written += chars;
    if (this.#written > this.#charsMax) throw new AnswerTooLargeError('the answer is too large');
    this.#pendingChars += chars;
  }

  #flushHalfCharacters(): void {
    if (this.#last !== undefined) this.#flushHalfCharacter(this.#last);
    for (const call of this.#calls.values()) this.#flushHalfCharacter(call);
  }

  /** The other half of a character never came. */
  #flushHalfCharacter(open: OpenPart): void {
    if (open.half === '') return;
    open.half = '';
    this.#addText(open, REPLACEMENT_CHARACTER);
  }

  /** A character is never parted between two records, and half a character becomes U+FFFD, which is as long: what stands in
   *  the log is text that every client and every model server can read. */
  #addDelta(open: OpenPart, delta: string): void {
    let text = open.half === '' ? delta : open.half + delta;
    const last = text.charCodeAt(text.length - 1);
    const isHalf = last >= 0xd800 && last <= 0xdbff;
    open.half = isHalf ? text.slice(-1) : '';
    if (isHalf) text = text.slice(0, -1);
    if (text !== '') this.#addText(open, text.isWellFormed() ? text : text.toWellFormed());
  }

  #addText(open: OpenPart, text: string): void {
    this.#count(text.length);
    const last = this.#pieces.at(-1);
    if (last?.kind === 'delta' && last.part === open.part && last.text.length + text.length <= DELTA_CHARS_MAX) {
      last.text += text;
      open.chars += text.length;
      return;
    }
    for (let from = 0; from < text.length;) {
      let end = Math.min(text.length, from + DELTA_CHARS_MAX);
      const code = text.charCodeAt(end - 1);
      if (end < text.length && code >= 0xd800 && code <= 0xdbff) end -= 1;
      this.#enqueue({
        kind: 'delta',
        part: open.part,
        partKind: open.kind,
        at: open.chars,
        text: text.slice(from, end),
      });
      open.chars += end - from;
      from = end;
    }
  }

  /** A list that is pushed to keeps room for sixteen more, and most hold one piece. */
  #enqueue(piece: Piece): void {
    if (this.#pieces.length === 0) this.#pieces = [piece];
    else this.#pieces.push(piece);
  }

  #kick(): void {
    if (this.#flushing === undefined && this.#failure === undefined && this.#pieces.length > 0) this.#flushNext();
  }

  /** One append after the other until nothing waits. Callbacks and no async functions: this is on the path of every
   *  token, and each would cost another promise. */
  #flushNext(): void {
    this.#inFlight = this.#pieces;
    this.#pieces = NO_PIECES;
    this.#pendingChars = 0;
    this.#flushing = this.#append().then(this.#onAppended, this.#onRefused);
  }

  #append(): Promise<readonly Appended[]> {
    const records = this.#inFlight.map((piece) =>
      piece.kind === 'delta' ? this.#encodeDelta(piece) : encodeEvent(piece.event),
    );
    return this.#broker.append([
      { topic: this.#topic, records, expect: this.#expect, fence: { fence: this.#fence, seq: this.#seq } },
    ]);
  }

  readonly #onAppended = ([appended]: readonly Appended[]): void => {
    let offset = appended?.first ?? 0;
    this.#seq += 1;
    for (const piece of this.#inFlight) {
      if (piece.kind === 'start') this.#answer.startPart(piece.event);
      else if (piece.kind === 'delta') this.#answer.addDelta(piece.part, piece.partKind, piece.text, offset);
      offset += 1;
    }
    this.#inFlight = NO_PIECES;
    this.#flushing = undefined;
    this.#kick();
  };

  /** The same (fence, seq) again is safe whatever became of the last try. What the model says waits meanwhile. A refusal
   *  for good is kept for `settled`, and told to the run, which stops. */
  readonly #onRefused = async (error: unknown): Promise<void> => {
    try {
      this.#onAppended(await persistAfter(error, this.#clock, this.#abandoned, () => this.#append()));
    } catch (refusal) {
      this.#failure = refusal instanceof Error ? refusal : new Error('append failed', { cause: refusal });
      this.#flushing = undefined;
      this.#onFailure();
    }
  };

  #encodeDelta({ part, partKind, at, text }: DeltaPiece): NewRecord {
    if (this.#headPart !== part) {
      this.#head = deltaHead(this.#target.runId, this.#target.answerId, part, partKind);
      this.#headPart = part;
    }
    return encodeDelta(this.#head, at, text);
  }
}
