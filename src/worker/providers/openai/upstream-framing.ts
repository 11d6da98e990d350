// Splits the bytes of a model server's answer into events: server-sent events by the specification, and what servers
// and proxies send in their place: a JSON body without any framing, one JSON object per line, an `error:` line, a last
// event without its blank line. Owns lines and framing; chat-completions-stream.ts interprets the events.
import { createParser, type EventSourceMessage, type ParseError } from 'eventsource-parser';
import { isErrorText, NAMES_A_FAILURE } from './reported-failure.ts';
import { tooLarge } from '../upstream/upstream-errors.ts';
import type { UpstreamLimits } from '../upstream/upstream-limits.ts';

/** Receives the events in order. `name`: undefined for most. */
export interface FramingListener {
  /** @throws ProviderError */
  onEvent(name: string | undefined, data: string): void;
}

export class UpstreamFraming {
  readonly #limits: UpstreamLimits;
  readonly #listener: FramingListener;
  readonly #decoder = new TextDecoder();
  readonly #parser;
  /** Lines of JSON that came without framing. */
  #unframed = '';
  #isBetweenEvents = false;

  constructor(limits: UpstreamLimits, listener: FramingListener) {
    this.#limits = limits;
    this.#listener = listener;
    this.#parser = createParser({
      maxBufferSize: limits.eventBytesMax,
      onEvent: (message) => this.#event(message),
      onError: (error) => this.#line(error),
    });
  }

  /** The next byte begins a new event, and nothing of an earlier one is held. False where that is not certain. */
  get isBetweenEvents(): boolean {
    return this.#isBetweenEvents;
  }

  /** @throws ProviderError */
  push(bytes: Uint8Array): void {
    this.#isBetweenEvents = false;
    this.#parser.feed(this.#decoder.decode(bytes, MORE_TO_COME));
    this.#isBetweenEvents = this.#unframed === '' && bytes.at(-1) === NEW_LINE && bytes.at(-2) === NEW_LINE;
  }

  /** Call it when the body ended cleanly: text without its line end is an event too. @throws ProviderError */
  end(): void {
    this.#parser.feed(`${this.#decoder.decode()}\n\n`);
    this.#takeUnframed();
  }

  #event({ event, data }: EventSourceMessage): void {
    // The parser limits only its buffer; an event that arrived in one chunk was never buffered.
    if (data.length > this.#limits.eventBytesMax) throw tooLarge('an event', this.#limits.eventBytesMax);
    if (this.#unframed !== '') this.#takeUnframed();
    this.#listener.onEvent(event, data);
  }

  /** Handles a line that is no field of an event stream. The specification ignores all of them [SSE §9.2.6]; some
   *  carry the answer, or a failure. */
  #line(error: ParseError): void {
    if (error.type === 'max-buffer-size-exceeded') throw tooLarge('an event', this.#limits.eventBytesMax);
    const { line, field, value } = error;
    if (error.type !== 'unknown-field' || line === undefined) return;
    if (this.#unframed !== '' || /^\s*[[{]/.test(line)) this.#keepUnframed(line);
    else if (field !== undefined && NAMES_A_FAILURE.test(field)) this.#listener.onEvent('error', value ?? '');
    else if (isErrorText(line)) this.#listener.onEvent('error', line);
    else if (field !== undefined && /^\s*data\s*$/i.test(field)) this.#listener.onEvent(undefined, value ?? '');
  }

  #keepUnframed(line: string): void {
    this.#unframed += `${line}\n`;
    if (this.#unframed.length > this.#limits.eventBytesMax) throw tooLarge('an event', this.#limits.eventBytesMax);
    // Most texts are one line, or end with a bracket at the start of a line. Others wait for the end of the body.
    if (/^(?:\s*[[{].*)?[}\]],?\s*$/s.test(line)) this.#takeUnframed(MAY_GO_ON);
  }

  /** Text that is not JSON is ignored, as the specification demands. */
  #takeUnframed(isLast = true): void {
    const text = this.#unframed;
    if (text === '') return;
    const objects = jsonObjects(text);
    if (objects.length > 0 || isLast) this.#unframed = '';
    for (const object of objects) this.#listener.onEvent(undefined, object);
  }
}

/** The JSON objects of a text, each as text again; for a list, its members. */
function jsonObjects(text: string): string[] {
  let json: unknown;
  try {
    json = JSON.parse(text.trim().replace(/,$/, ''));
  } catch {
    return [];
  }
  const list: readonly unknown[] = Array.isArray(json) ? json : [json];
  return list.filter((item) => typeof item === 'object' && item !== null).map((item) => JSON.stringify(item));
}

const NEW_LINE = 0x0a;
const MORE_TO_COME = { stream: true } as const;
const MAY_GO_ON = false;
