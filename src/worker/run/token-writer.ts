// Writes the output of a model into the chat at the log's own pace: one append per run is under way, and what arrives
// meanwhile goes into the next. So a slow disk makes larger batches, not longer queues. Owns the run's (fence, seq)
// count and passes to the answer builder what is durable.
import type { Appended, Broker, NewRecord } from '../../broker/broker.ts';
import { APPEND_RECORDS_MAX } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Clock } from '../../base/clock.ts';
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import { ANSWER_PARTS_MAX } from '../../session/events/answer-builder.ts';
import { encodeEvent, type PartKind, type PartStarted, type ToolResult } from '../../session/events/chat-event.ts';
import { deltaHead, encodeDelta } from '../../session/events/delta-json.ts';
import { persistAfter } from '../persist.ts';
import type { ProviderEvent } from '../provider.ts';

/** UTF-16 code units that may wait for the append under way. Above it the upstream is not read. */
export const WRITER_PENDING_CHARS_MAX = 256 * 1024;
/** UTF-16 code units of one delta record. At most three bytes each, so far below the size limit of a record. */
const DELTA_CHARS_MAX = 64 * 1024;
/** UTF-16 code units of one tool result, as JSON. It is one record, which every reader receives whole. */
export const TOOL_RESULT_CHARS_MAX = 64 * 1024;

/** The answer of a run is over a limit. */
export class AnswerTooLargeError extends Error {
  override readonly name = 'AnswerTooLargeError';
}

interface DeltaPiece {
  readonly kind: 'delta';
  readonly part: number;
  readonly partKind: PartKind;
  /** UTF-16 code units of the part before this delta. */
  readonly at: number;
  text: string;
}

/** A part that may grow. */
interface OpenPart {
  readonly part: number;
  readonly kind: PartKind;
  /** UTF-16 code units of the part so far. */
  chars: number;
  /** A high surrogate whose other half has not arrived. */
  half: string;
}

type Piece =
  | DeltaPiece
  | { readonly kind: 'start'; readonly event: PartStarted }
  | { readonly kind: 'result'; readonly event: ToolResult };

const REPLACEMENT_CHARACTER = '\ufffd';

/** Never pushed to: the shared empty list. */
const NO_PIECES: Piece[] = [];

export interface WriterTarget {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly fence: number;
  readonly runId: string;
  readonly answerId: string;
  /** UTF-16 code units of the whole answer, including the retained prefix. */
  readonly charsMax: number;
  /** Who executes the tool calls that do not say it. */
  readonly executor: 'agent' | 'client';
}

export class TokenWriter {
  readonly #broker: Broker;
  readonly #clock: Clock;
  readonly #target: WriterTarget;
  /** Copies of target fields that every token needs. */
  readonly #topic: LiteTopicName;
  readonly #fence: number;
  readonly #charsMax: number;
  readonly #answer: AnswerBuilder;
  #pieces = NO_PIECES;
  #pendingChars = 0;
  #written: number;
  /** The part of this leg that began last: text and reasoning continue it. */
  #last: OpenPart | undefined;
  #nextPart: number;
  /** The part of each tool call, by its index: deltas of several calls may alternate. */
  readonly #calls = new Map<number, OpenPart>();
  #seq = 1;
  #head = '';
  #headPart = -1;
  #flushing: Promise<void> | undefined;
  /** The pieces of the append under way. */
  #inFlight: readonly Piece[] = NO_PIECES;
  readonly #expect: { readonly epoch: string };
  #failure: Error | undefined;
  readonly #abandoned: AbortSignal;
  readonly #onFailure: () => void;

  /** `answer` holds the retained prefix. After `abandoned` aborts, an append that the broker cannot take is not
   *  retried: the next worker generates the rest again. `onFailure` is called once, when an append is refused. */
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
    this.#nextPart = answer.partCount;
    const part = answer.partCount - 1;
    const kind = answer.partKind(part);
    if (kind !== undefined && part >= answer.legStart)
      this.#last = { part, kind, chars: answer.partLength(part), half: '' };
  }

  /** The seq of the run's next fenced append. Valid only after `settled`. */
  get nextSeq(): number {
    return this.#seq;
  }

  /** Takes one event of the model. Sync: it never waits for the log. @throws AnswerTooLargeError */
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

  /** Whether the caller must await `drained` before it reads the upstream again. */
  get isFull(): boolean {
    return this.#pendingChars > WRITER_PENDING_CHARS_MAX;
  }

  /** Call it when the model has ended. Resolves when everything is durable. @throws the error that refused an append */
  async settled(): Promise<void> {
    this.#flushHalfCharacters();
    await this.drained();
  }

  /** Resolves when everything is durable, except a high surrogate whose other half may still come. @throws the error
   *  that refused an append */
  async drained(): Promise<void> {
    this.#kick();
    while (this.#flushing !== undefined) await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #startToolCall(event: Extract<ProviderEvent, { type: 'tool-call' }>): OpenPart {
    const id = event.id === undefined ? {} : { toolCallId: event.id };
    const name = event.name === undefined ? {} : { toolName: event.name };
    const executor = event.executor ?? this.#target.executor;
    const part = this.#startPart('tool-call', { ...id, ...name, executor });
    this.#calls.set(event.index, part);
    return part;
  }

  #startPart(kind: PartKind, call: Pick<PartStarted, 'toolCallId' | 'toolName' | 'executor'> = {}): OpenPart {
    const part = this.#nextPart;
    if (part >= ANSWER_PARTS_MAX) throw new AnswerTooLargeError('too many parts');
    this.#nextPart += 1;
    if (this.#last !== undefined && this.#last.kind !== 'tool-call') this.#flushHalfCharacter(this.#last);
    const open: OpenPart = { part, kind, chars: 0, half: '' };
    this.#last = open;
    // Left out for a text part 0, as most answers begin. [PROTOCOL §4]
    if (part > 0 || kind !== 'text')
      this.#enqueue({ kind: 'start', event: { type: 'part.started', runId: this.#target.runId, part, kind, ...call } });
    return open;
  }

  /** Results stay in the log beside the answer, so they count towards its limit. */
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

  /** Replaces a high surrogate whose other half never came. */
  #flushHalfCharacter(open: OpenPart): void {
    if (open.half === '') return;
    open.half = '';
    this.#addText(open, REPLACEMENT_CHARACTER);
  }

  /** Never splits a character between two records, and replaces an unpaired surrogate by U+FFFD, which has the same
   *  length: every client and every model server can read the text in the log. */
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

  /** A list that is pushed to reserves room for sixteen more elements, and most lists hold one piece. */
  #enqueue(piece: Piece): void {
    if (this.#pieces.length === 0) this.#pieces = [piece];
    else this.#pieces.push(piece);
  }

  #kick(): void {
    if (this.#flushing === undefined && this.#failure === undefined && this.#pieces.length > 0) this.#flushNext();
  }

  /** Appends until nothing waits. Callbacks instead of async functions: this is on the path of every token, and each
   *  async function would cost another promise. */
  #flushNext(): void {
    // While the storage takes nothing, the pieces of tool calls that alternate become many.
    if (this.#pieces.length > APPEND_RECORDS_MAX) {
      this.#inFlight = this.#pieces.slice(0, APPEND_RECORDS_MAX);
      this.#pieces = this.#pieces.slice(APPEND_RECORDS_MAX);
    } else {
      this.#inFlight = this.#pieces;
      this.#pieces = NO_PIECES;
      this.#pendingChars = 0;
    }
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

  /** A retry with the same (fence, seq) is safe, whatever became of the last try. New events wait meanwhile. After a
   *  refusal for good, `settled` throws it, and `onFailure` stops the run. */
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
