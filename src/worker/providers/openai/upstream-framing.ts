// From the bytes of a model server's answer to events: server-sent events as the specification has them, and what
// servers and proxies write in their place: a JSON body without any frame, one JSON object a line, an `error:` line, a
// last event without its blank line. It owns lines and frames; what an event means is for chat-completions-stream.ts.
import { createParser, type EventSourceMessage, type ParseError } from 'eventsource-parser';
import { isErrorText, NAMES_A_FAILURE } from './reported-failure.ts';
import { tooLarge } from '../upstream/upstream-errors.ts';
import type { UpstreamLimits } from '../upstream/upstream-limits.ts';

/** Is told of each event, in order. `name`: of the event, undefined for most. */
export interface FramingListener {
  /** @throws ProviderError */
  onEvent(name: string | undefined, data: string): void;
}

export class UpstreamFraming {
  readonly #limits: UpstreamLimits;
  readonly #listener: FramingListener;
  readonly #decoder = new TextDecoder();
  readonly #parser;
  /** Lines of a JSON text that came without a frame. */
  #unframed = '';

  constructor(limits: UpstreamLimits, listener: FramingListener) {
    this.#limits = limits;
    this.#listener = listener;
    this.#parser = createParser({
      maxBufferSize: limits.eventBytesMax,
      onEvent: (message) => this.#event(message),
      onError: (error) => this.#line(error),
    });
  }

  /** @throws ProviderError */
  push(bytes: Uint8Array): void {
    this.#parser.feed(this.#decoder.decode(bytes, MORE_TO_COME));
  }

  /** The body ended cleanly: what stands without its line end is an event all the same. @throws ProviderError */
  end(): void {
    this.#parser.feed(`${this.#decoder.decode()}\n\n`);
    this.#takeUnframed();
  }

  #event({ event, data }: EventSourceMessage): void {
    // The parser's own bound is on what it must keep; an event that came in one piece never was kept.
    if (data.length > this.#limits.eventBytesMax) throw tooLarge('an event', this.#limits.eventBytesMax);
    if (this.#unframed !== '') this.#takeUnframed();
    this.#listener.onEvent(event, data);
  }

  /** A line that is no field of an event stream. The specification passes over all of them [SSE §9.2.6]; some carry the
   *  answer, or its failure. */
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
    // Most are one line, or written with the last bracket at the line's beginning. The others wait for the end.
    if (/^(?:\s*[[{].*)?[}\]],?\s*$/s.test(line)) this.#takeUnframed(MAY_GO_ON);
  }

  /** Text that is not JSON is passed over, as the specification says. */
  #takeUnframed(isLast = true): void {
    const text = this.#unframed;
    if (text === '') return;
    const objects = jsonObjects(text);
    if (objects.length > 0 || isLast) this.#unframed = '';
    for (const object of objects) this.#listener.onEvent(undefined, object);
  }
}

/** The JSON objects of a text, each as text again; of a list its members. */
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

const MORE_TO_COME = { stream: true } as const;
const MAY_GO_ON = false;
