// Parses server-sent events from text in any pieces, by the HTML standard as far as a Holdline stream uses it. Written
// independently of the code of client and server, so that it can test both.
import type { SeenEvent } from './wire-record.ts';

export class SseText {
  #rest = '';
  #id: string | undefined;
  #event = 'message';
  #data: string[] = [];
  /** Comments keep a silent stream alive. */
  comments = 0;

  push(text: string): SeenEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): SeenEvent[] {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') this.#id = value;
    else if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === '') this.comments += 1;
    else if (field !== 'retry') throw new Error(`not a field of an event stream: ${line}`);
    return [];
  }

  #dispatch(): SeenEvent[] {
    const event = { id: this.#id, event: this.#event, data: this.#data };
    this.#id = undefined;
    this.#event = 'message';
    this.#data = [];
    if (event.data.length === 0) return [];
    return [{ ...event, data: JSON.parse(event.data.join('\n')) as SeenEvent['data'] }];
  }
}
