// Parses the bytes of a `text/event-stream` into messages, however the bytes were split [SSE §9.2.6]: CR, LF and CRLF,
// a CRLF or a character cut in half, a byte order mark. Pure: no network and no JSON. Unlike an EventSource it reports
// only each message's own id, because a missing id means "a control event" here, and not "as before".

export interface SseMessage {
  readonly kind: 'message';
  /** Absent if this message had no `id:` line. */
  readonly id?: string;
  readonly event: string;
  readonly data: string;
}

export interface SseRetry {
  readonly kind: 'retry';
  readonly retryMs: number;
}

export type SseItem = SseMessage | SseRetry;

/** UTF-16 units of one line or one message. A server that exceeds it is broken, and must not fill the client's
 *  memory. */
export const SSE_MESSAGE_LENGTH_MAX = 32 * 1024 * 1024;

const LINE_END = /\r\n|\r|\n/g;

export class SseParser {
  // Strips one leading byte order mark and holds back the first bytes of a character until its rest arrives.
  readonly #decoder = new TextDecoder('utf-8');
  /** The line that has no end yet, in pieces: joining it on every chunk would be quadratic in its length. */
  #unfinished: string[] = [];
  #unfinishedLength = 0;
  /** The last chunk ended in CR: a LF at the start of the next belongs to it. */
  #afterCr = false;
  #id: string | undefined;
  #event = '';
  #data: string[] = [];
  #dataLength = 0;

  /** @throws RangeError when a message grows above SSE_MESSAGE_LENGTH_MAX: close the stream. */
  push(bytes: Uint8Array): SseItem[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    // An empty chunk, or half a character, does not show yet which byte follows the CR.
    if (text === '') return [];
    if (this.#afterCr && text.startsWith('\n')) text = text.slice(1);
    this.#afterCr = text.endsWith('\r');
    return this.#takeLines(text);
  }

  #takeLines(text: string): SseItem[] {
    const items: SseItem[] = [];
    let from = 0;
    for (const end of text.matchAll(LINE_END)) {
      this.#hold(text.slice(from, end.index));
      from = end.index + end[0].length;
      const line = this.#unfinished.join('');
      this.#unfinished = [];
      this.#unfinishedLength = 0;
      const item = this.#takeLine(line);
      if (item !== undefined) items.push(item);
    }
    this.#hold(text.slice(from));
    return items;
  }

  #hold(piece: string): void {
    if (piece === '') return;
    this.#unfinished.push(piece);
    this.#unfinishedLength += piece.length;
    if (this.#unfinishedLength + this.#dataLength > SSE_MESSAGE_LENGTH_MAX) {
      throw new RangeError('an event is longer than this client takes');
    }
  }

  #takeLine(line: string): SseItem | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? '' : line.slice(colon + 1);
    return this.#takeField(field, rest.startsWith(' ') ? rest.slice(1) : rest);
  }

  #takeField(field: string, value: string): SseRetry | undefined {
    if (field === 'data') {
      this.#data.push(value);
      this.#dataLength += value.length + 1;
    } else if (field === 'event') {
      this.#event = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.#id = value;
    } else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      return { kind: 'retry', retryMs: Number(value) };
    }
    return undefined;
  }

  #dispatch(): SseMessage | undefined {
    const id = this.#id;
    const data = this.#data;
    const event = this.#event === '' ? 'message' : this.#event;
    this.#id = undefined;
    this.#event = '';
    this.#data = [];
    this.#dataLength = 0;
    if (data.length === 0) return undefined;
    return { kind: 'message', ...(id === undefined ? {} : { id }), event, data: data.join('\n') };
  }
}
