// Native WebSocket frames as text. Pure. One event in an `event` frame, several in an `events` frame. PROTOCOL §6.
import { controlJson } from './native-control.ts';
import type { ControlEvent, WireEncoder } from './wire-encoder.ts';
import type { WireEvent } from './wire-event.ts';

export class WsEncoder implements WireEncoder {
  readonly key = 'ws';
  readonly #sessionId: string;

  /** `sessionId` is `[A-Za-z0-9_-]`, and so needs no escaping. */
  constructor(sessionId: string) {
    this.#sessionId = sessionId;
  }

  encodeEvents(epoch: string, events: readonly WireEvent[]): string {
    const [only] = events;
    if (only !== undefined && events.length === 1)
      return `{"type":"event","sessionId":"${this.#sessionId}",${eventFields(epoch, only)}}`;
    const list = events.map((event) => `{${eventFields(epoch, event)}}`).join(',');
    return `{"type":"events","sessionId":"${this.#sessionId}","events":[${list}]}`;
  }

  encodeControl(event: ControlEvent): string {
    return `{"type":"event","sessionId":"${this.#sessionId}","event":"${event.type}","data":${controlJson(event)}}`;
  }
}

function eventFields(epoch: string, { offset, type, json }: WireEvent): string {
  return `"id":"${epoch}.${offset}","event":"${type}","data":${json}`;
}
