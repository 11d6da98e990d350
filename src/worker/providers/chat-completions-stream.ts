// The bytes of one streamed chat completion → ProviderEvents. Sync and without I/O, so that any cut of the bytes can
// be tested. It owns what a completion is: `finish` comes only after the server's own word for the end, `[DONE]` or a
// finish reason followed by a clean end of the body; anything less is `upstream-truncated`.
// On the path of every token: one JSON.parse and one event object a token, no copies.
import { createParser, type EventSourceMessage, type ParseError } from 'eventsource-parser';
import { ProviderError, type FinishReason, type ProviderEvent, type Usage } from '../provider.ts';
import { finishReasonOf, firstChoice, parseChunk, textOf, usageOf, type WireDelta } from './completion-chunk.ts';
import { ToolCallDeltas } from './tool-call-deltas.ts';
import { errorIn, errorOfObject, malformed, tooLarge, truncated } from './upstream-errors.ts';
import type { UpstreamLimits } from './upstream-limits.ts';

export class ChatCompletionsStream {
  readonly #limits: UpstreamLimits;
  readonly #decoder = new TextDecoder();
  readonly #toolCalls = new ToolCallDeltas();
  readonly #parser;
  #events: ProviderEvent[] = [];
  #streamBytes = 0;
  #answerBytes = 0;
  #sawEvent = false;
  #usage: Usage | undefined;
  #finish: FinishReason | undefined;
  #over = false;
  #fault: ProviderError | undefined;

  constructor(limits: UpstreamLimits) {
    this.#limits = limits;
    this.#parser = createParser({
      maxBufferSize: limits.eventBytesMax,
      onEvent: (message) => this.#accept(message),
      onError: (error) => this.#parserError(error),
    });
  }

  /** No more bytes are wanted: it finished or it failed. */
  get over(): boolean {
    return this.#over;
  }

  /** Why it failed. To be thrown after the events that came before it. */
  get fault(): ProviderError | undefined {
    return this.#fault;
  }

  /** The events since the last take. */
  take(): readonly ProviderEvent[] {
    if (this.#events.length === 0) return NO_EVENTS;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  push(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#streamBytes += bytes.length;
    try {
      if (this.#streamBytes > this.#limits.streamBytesMax) throw tooLarge('the response', this.#limits.streamBytesMax);
      this.#parser.feed(this.#decoder.decode(bytes, MORE_TO_COME));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The body ended cleanly. */
  end(): void {
    if (this.#over) return;
    if (this.#finish !== undefined) this.#complete(this.#finish);
    else if (this.#sawEvent || this.#streamBytes === 0) this.#fail(truncated());
    else this.#fail(malformed('the answer is not an event stream'));
  }

  /** @throws ProviderError */
  #accept(message: EventSourceMessage): void {
    if (this.#over) return; // whatever a server says after its end
    const { data } = message;
    // The parser's own bound is on what it must keep; an event that came in one piece never was kept.
    if (data.length > this.#limits.eventBytesMax) throw tooLarge('an event', this.#limits.eventBytesMax);
    this.#sawEvent = true;
    if (data === '[DONE]') {
      this.#complete(this.#finish ?? 'other');
      return;
    }
    const chunk = parseChunk(data);
    const error = errorIn(chunk) ?? (message.event === 'error' ? chunk : undefined);
    if (error !== undefined) throw errorOfObject(error);
    // Kept, not emitted: some servers repeat it in every chunk, with the last one right.
    this.#usage = usageOf(chunk.usage) ?? this.#usage;
    const choice = firstChoice(chunk);
    if (choice === undefined) return;
    if (choice.delta !== undefined && choice.delta !== null) this.#delta(choice.delta);
    const finish = finishReasonOf(choice.finish_reason);
    if (finish === 'failed') throw errorOfObject(undefined);
    this.#finish = finish ?? this.#finish;
  }

  #delta(delta: WireDelta): void {
    // One of the two: servers that know both names write the same text under each.
    const reasoning = textOf(delta.reasoning_content ?? delta.reasoning);
    if (reasoning !== '') this.#emit({ type: 'reasoning', text: reasoning }, reasoning);
    const text = textOf(delta.content);
    if (text !== '') this.#emit({ type: 'text', text }, text);
    const refusal = textOf(delta.refusal);
    if (refusal !== '') this.#emit({ type: 'text', text: refusal }, refusal);
    if (delta.tool_calls === undefined || delta.tool_calls === null) return;
    if (!Array.isArray(delta.tool_calls)) throw malformed('the tool calls of a chunk are not a list');
    for (const call of delta.tool_calls as readonly unknown[]) {
      const event = this.#toolCalls.read(call);
      this.#emit(event, event.argumentsText);
    }
  }

  #emit(event: ProviderEvent, content: string): void {
    this.#answerBytes += Buffer.byteLength(content);
    if (this.#answerBytes > this.#limits.answerBytesMax) throw tooLarge('the answer', this.#limits.answerBytesMax);
    this.#events.push(event);
  }

  #complete(reason: FinishReason): void {
    this.#over = true;
    if (this.#usage !== undefined) this.#events.push({ type: 'usage', usage: this.#usage });
    this.#events.push({ type: 'finish', reason });
  }

  #fail(error: unknown): void {
    if (!(error instanceof ProviderError)) throw error;
    this.#over = true;
    this.#fault = error;
  }

  #parserError(error: ParseError): void {
    // Unknown fields and odd retry times are to be ignored. [SSE §9.2.6]
    if (error.type === 'max-buffer-size-exceeded') throw tooLarge('an event', this.#limits.eventBytesMax);
  }
}

const NO_EVENTS: readonly ProviderEvent[] = [];
const MORE_TO_COME = { stream: true } as const;
