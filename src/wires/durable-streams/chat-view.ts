// A chat as a durable stream: its messages are the native events with their type. The stream never closes. Pure.
import type { ControlEvent, WireEncoder } from '../../stream/projection.ts';
import type { WireEvent } from '../../stream/events/wire-event.ts';
import type { ViewEnd, ViewOutput } from './view-frames.ts';

export class ChatViewEncoder implements WireEncoder {
  readonly key = undefined;
  over: WireEncoder['over'];
  readonly #output: ViewOutput;
  readonly #end: ViewEnd;
  #next: number;
  #isLive = false;
  #hasNews = false;

  /** `next`: the number of records that the reader has. */
  constructor(output: ViewOutput, end: ViewEnd, next: number) {
    this.#output = output;
    this.#end = end;
    this.#next = next;
  }

  encodeEvents(_epoch: string, events: readonly WireEvent[]): string {
    this.#next = (events.at(-1)?.offset ?? this.#next - 1) + 1;
    this.#hasNews ||= events.length > 0;
    const frame = this.#put(events.map(messageOf));
    if (this.#output.isFull || this.#isEnough) this.over = 'end';
    return frame;
  }

  encodeControl(event: ControlEvent): string {
    if (event.type === 'reset') this.over = 'end';
    if (event.type !== 'live') return '';
    this.#next = Math.max(this.#next, (event.position?.offset ?? -1) + 1);
    this.#isLive = true;
    if (this.#isEnough) this.over = 'end';
    return this.#put([]);
  }

  get #isEnough(): boolean {
    return this.#isLive && (this.#end === 'caught-up' || (this.#end === 'news' && this.#hasNews));
  }

  #put(messages: readonly string[]): string {
    return this.#output.put(messages, { next: this.#next, isUpToDate: this.#isLive, isClosed: false });
  }
}

/** `json` is an object. */
function messageOf({ type, json }: WireEvent): string {
  return json === '{}' ? `{"type":"${type}"}` : `{"type":"${type}",${json.slice(1)}`;
}
