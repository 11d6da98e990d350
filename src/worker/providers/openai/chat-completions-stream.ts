// Turns the bytes of one streamed chat completion into ProviderEvents. Sync and without I/O, so that tests can cut the
// bytes anywhere. Owns the rule for a completion: `finish` comes only after `[DONE]` behind an answer, or after a
// finish reason followed by a clean end of the body; anything less is `upstream-truncated`. On the path of every token:
// most chunks are read without parsing them (usual-chunk.ts), with the same result.
import { ProviderError, type FinishReason, type ProviderEvent, type Usage } from '../../provider.ts';
import {
  choiceIndex,
  choicesOf,
  contentOf,
  parseChunk,
  reasoningOf,
  textOf,
  usageAside,
  usageOf,
  type WireChoice,
  type WireChunk,
  type WireDelta,
} from './completion-chunk.ts';
import { finishReasonOf } from './finish-reason.ts';
import { isHeartbeat } from './heartbeat.ts';
import { choiceFailure, failureOfText, NAMES_A_FAILURE, failureInFields, reportedFailure } from './reported-failure.ts';
import { ToolCallDeltas, type ToolCallEvent } from './tool-call-deltas.ts';
import { errorOfObject, malformed, neverBegan, tooLarge, truncated } from '../upstream/upstream-errors.ts';
import { UpstreamFraming } from './upstream-framing.ts';
import { UsualChunk } from './usual-chunk.ts';
import type { UpstreamLimits } from '../upstream/upstream-limits.ts';

export class ChatCompletionsStream {
  readonly #limits: UpstreamLimits;
  readonly #framing: UpstreamFraming;
  readonly #toolCalls = new ToolCallDeltas();
  #events: ProviderEvent[] = [];
  #usual: UsualChunk | undefined;
  /** Usual chunks that were read since the last was learned. */
  #usualReads = 0;
  /** Other chunks to come before the next is learned, and how many came between the last two. */
  #learnIn = 1;
  #learnEvery = 1;
  #streamBytes = 0;
  #answerBytes = 0;
  #sawEvent = false;
  /** The answer has text, reasoning or a tool call. */
  #hasContent = false;
  /** The content came in `message`, not in `delta`. */
  #isWholeMessage = false;
  /** The index of the choice that is the answer. */
  #ours: number | undefined;
  #usage: Usage | undefined;
  #finish: FinishReason | undefined;
  /** The body has ended: what does not parse now was cut off. */
  #isEnding = false;
  #over = false;
  #fault: ProviderError | undefined;

  constructor(limits: UpstreamLimits) {
    this.#limits = limits;
    this.#framing = new UpstreamFraming(limits, this);
  }

  /** The answer finished or failed; it needs no more bytes. */
  get over(): boolean {
    return this.#over;
  }

  /** The finish reason has arrived; usage, `[DONE]` and the end of the body may follow or not. */
  get isFinishing(): boolean {
    return this.#finish !== undefined;
  }

  /** Why the answer failed. The caller throws it after the events that came before it. */
  get fault(): ProviderError | undefined {
    return this.#fault;
  }

  /** Removes and returns the events since the last call. */
  take(): readonly ProviderEvent[] {
    if (this.#events.length === 0) return NO_EVENTS;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  push(bytes: Buffer): void {
    if (this.#over) return;
    this.#streamBytes += bytes.length;
    try {
      if (this.#streamBytes > this.#limits.streamBytesMax) throw tooLarge('the response', this.#limits.streamBytesMax);
      const taken = this.#framing.isBetweenEvents ? this.#takeUsual(bytes) : 0;
      if (taken < bytes.length) this.#frame(taken === 0 ? bytes : bytes.subarray(taken));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Takes the usual chunks at the start of the bytes. Returns where the first other one begins. */
  #takeUsual(bytes: Buffer): number {
    const usual = this.#usual;
    if (usual === undefined) return 0;
    let at = 0;
    for (let text = usual.read(bytes, at); text !== undefined; text = usual.read(bytes, at)) {
      if (usual.end - at > this.#limits.eventBytesMax) break;
      this.#usualReads += 1;
      this.#emit({ type: 'text', text }, text);
      at = usual.end;
    }
    return at;
  }

  #frame(bytes: Buffer): void {
    const { isBetweenEvents } = this.#framing;
    const before = this.#events.length;
    this.#framing.push(bytes);
    const said = this.#events[before];
    if (!isBetweenEvents || said?.type !== 'text' || this.#events.length > before + 1) return;
    this.#learnIn -= 1;
    if (this.#learnIn <= 0) this.#learn(bytes, said.text);
  }

  /** A server whose chunks never repeat costs one more parsing now and then. */
  #learn(bytes: Buffer, text: string): void {
    this.#learnEvery = this.#usualReads > 0 ? 1 : Math.min(this.#learnEvery * 2, LEARN_EVERY_MAX);
    this.#learnIn = this.#learnEvery;
    this.#usualReads = 0;
    this.#usual = UsualChunk.learn(bytes, text);
  }

  /** Call it when the body ended cleanly. */
  end(): void {
    if (this.#over) return;
    this.#isEnding = true;
    try {
      this.#framing.end();
    } catch (error) {
      this.#fail(error);
    }
    this.#endWithoutMarker();
  }

  /** Call it when nothing more came for a while after the finish reason. */
  endSilently(): void {
    this.#endWithoutMarker();
  }

  /** Call it when the body broke or stalled. The events before it remain available. */
  breakOff(error: ProviderError): void {
    if (!this.#over) this.#fail(error);
  }

  #endWithoutMarker(): void {
    if (this.#over) return;
    if (this.#finish !== undefined) this.#complete(this.#finish);
    else
      this.#fail(
        this.#sawEvent || this.#streamBytes === 0 ? truncated() : malformed('the answer is not an event stream'),
      );
  }

  /** @throws ProviderError */
  onEvent(name: string | undefined, data: string): void {
    if (this.#over) return; // whatever a server says after its end
    this.#sawEvent = true;
    if (isEndMarker(data)) this.#endMarker();
    else if (name !== undefined && NAMES_A_FAILURE.test(name)) throw failureOfText(data);
    else this.#chunk(name, data);
  }

  #endMarker(): void {
    if (this.#finish === undefined && !this.#hasContent) throw neverBegan();
    this.#complete(this.#finish ?? 'other');
  }

  #chunk(name: string | undefined, data: string): void {
    // Parses JSON first: only data that does not look like JSON can be a heartbeat.
    if (data.charCodeAt(0) !== OPENING_BRACE && isHeartbeat(name, data)) return;
    const chunk = this.#parse(name, data);
    if (chunk === undefined) return;
    const failure = reportedFailure(name, chunk);
    if (failure !== undefined) throw failure;
    const before = this.#answerBytes;
    const choice = this.#ourChoice(chunk);
    const finish = choice === undefined ? undefined : this.#choice(choice);
    // Stored, not emitted: some servers repeat the usage in every chunk, and only the last one is right.
    this.#usage = usageOf(chunk.usage) ?? this.#usage;
    if (choice?.['error'] !== undefined || this.#answerBytes === before) this.#lookAside(chunk, choice);
    if (finish === 'failed') throw errorOfObject(undefined);
    // A whole message needs no end marker.
    const isWhole = this.#isWholeMessage && chunk['object'] === 'chat.completion';
    this.#finish = finish ?? this.#finish ?? (isWhole ? 'other' : undefined);
  }

  /** Looks for usage or a failure in vendor fields, where a chunk without text may carry them. */
  #lookAside(chunk: WireChunk, choice: WireChoice | undefined): void {
    const failure = (choice === undefined ? undefined : choiceFailure(choice)) ?? failureInFields(chunk);
    if (failure !== undefined) throw failure;
    if (usageOf(chunk.usage) === undefined) this.#usage = usageAside(chunk, choice) ?? this.#usage;
  }

  /** `data: data: {…}`: two servers framed the event. Several data lines that are not JSON together are events
   *  without the blank lines between them. Half an event at the end of the body was cut off; anywhere else it is
   *  malformed. */
  #parse(name: string | undefined, data: string): WireChunk | undefined {
    try {
      return parseChunk(data.startsWith('data:') ? data.slice(5) : data);
    } catch (error) {
      const lines = data.split('\n');
      if (lines.length === 1 && !this.#isEnding) throw error;
      if (lines.length > 1) for (const line of lines) this.onEvent(name, line);
      return undefined;
    }
  }

  /** The request asks for one answer, so the first choice with content is the answer, whatever its index. */
  #ourChoice(chunk: WireChunk): WireChoice | undefined {
    const choices = choicesOf(chunk);
    const [first] = choices;
    if (first === undefined) return undefined;
    if (this.#ours === undefined) {
      const choice = choices.find((one) => choiceIndex(one) === 0) ?? first;
      if (!isSilent(choice)) this.#ours = choiceIndex(choice);
      return choice;
    }
    // A loop instead of a closure: this runs for every token.
    for (const one of choices) if ((choiceIndex(one) ?? this.#ours) === this.#ours) return one;
    return undefined;
  }

  #choice(choice: WireChoice): ReturnType<typeof finishReasonOf> {
    const { delta, message, text } = choice;
    if (typeof delta === 'object' && delta !== null) this.#delta(delta);
    else if (typeof delta === 'string') this.#pushText('text', delta);
    const isInMessages = this.#isWholeMessage || !this.#hasContent;
    if (isInMessages && (message ?? text ?? undefined) !== undefined) this.#message(choice);
    return finishReasonOf(choice.finish_reason ?? choice['finishReason']);
  }

  /** A server that does not stream sends a whole message. A message after deltas only repeats them, and is ignored. */
  #message({ message, text }: WireChoice): void {
    this.#isWholeMessage = true;
    if (typeof message === 'object' && message !== null) this.#delta(message);
    else this.#pushText('text', textOf(message ?? text));
  }

  #delta(delta: WireDelta): void {
    this.#pushText('reasoning', reasoningOf(delta));
    const { content, tool_calls: toolCalls, function_call: functionCall } = delta;
    if (typeof content === 'string') {
      this.#pushText('text', content);
    } else if (content !== undefined && content !== null) {
      const { text, reasoning } = contentOf(content);
      this.#pushText('reasoning', reasoning);
      this.#pushText('text', text);
    }
    this.#pushText('text', textOf(delta.refusal));
    if ((toolCalls ?? functionCall ?? undefined) !== undefined) this.#calls(toolCalls, functionCall);
  }

  #pushText(type: 'text' | 'reasoning', text: string): void {
    if (text === '') return;
    this.#emit({ type, text }, text);
  }

  #calls(toolCalls: unknown, functionCall: unknown): void {
    const events: ToolCallEvent[] = [];
    this.#hasContent = true;
    try {
      if (toolCalls !== undefined && toolCalls !== null) this.#toolCalls.read(toolCalls, events);
      else this.#toolCalls.readFunctionCall(functionCall, events);
    } finally {
      // The calls before the one that cannot be read are part of the answer.
      for (const event of events) this.#emit(event, event.argumentsText);
    }
    this.#checkSize();
  }

  #emit(event: ProviderEvent, content: string): void {
    this.#hasContent = true;
    this.#answerBytes += Buffer.byteLength(content);
    this.#checkSize();
    this.#events.push(event);
  }

  #checkSize(): void {
    const { answerBytesMax } = this.#limits;
    if (this.#answerBytes + this.#toolCalls.heldBytes > answerBytesMax) throw tooLarge('the answer', answerBytesMax);
  }

  #complete(reason: FinishReason): void {
    this.#over = true;
    for (const event of this.#toolCalls.flush()) this.#events.push(event);
    if (this.#usage !== undefined) this.#events.push({ type: 'usage', usage: this.#usage });
    this.#events.push({ type: 'finish', reason });
  }

  #fail(error: unknown): void {
    if (!(error instanceof ProviderError)) throw error;
    this.#over = true;
    this.#fault = error;
    for (const event of this.#toolCalls.flush()) this.#events.push(event);
  }
}

/** `[DONE]`, in the spellings that servers use. */
function isEndMarker(data: string): boolean {
  return data === '[DONE]' || (data.length < 16 && /^\s*"?\[?DONE\]?"?\s*$/i.test(data));
}

/** A first chunk that has only the role. */
function isSilent({ delta, message, text, finish_reason: finish }: WireChoice): boolean {
  const spoken: WireDelta = typeof delta === 'object' && delta !== null ? delta : { content: delta };
  const content =
    spoken.content ||
    spoken.reasoning_content ||
    spoken.reasoning ||
    spoken.tool_calls ||
    spoken.function_call ||
    message ||
    text;
  return !content && finishReasonOf(finish) === undefined;
}

/** Chunks that are not usual, between two attempts to learn another usual chunk. */
const LEARN_EVERY_MAX = 1024;
const OPENING_BRACE = 123;
const NO_EVENTS: readonly ProviderEvent[] = [];
