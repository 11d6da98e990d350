// Native WebSocket frames as text. Pure. One event in an `event` frame, several in an `events` frame. PROTOCOL §6.
import { controlJson } from './native-control.ts';
import type { WireEncoder } from './wire-encoder.ts';
import type { WireEvent } from './wire-event.ts';

/** `sessionId` is `[A-Za-z0-9_-]`, and so needs no escaping. */
export function wsEncoder(sessionId: string): WireEncoder {
  return {
    key: 'ws',
    encodeEvents(epoch, events) {
      const [only] = events;
      if (only !== undefined && events.length === 1) return `{"type":"event","sessionId":"${sessionId}",${eventFields(epoch, only)}}`;
      const list = events.map((event) => `{${eventFields(epoch, event)}}`).join(',');
      return `{"type":"events","sessionId":"${sessionId}","events":[${list}]}`;
    },
    encodeControl: (event) => `{"type":"event","sessionId":"${sessionId}","event":"${event.type}","data":${controlJson(event)}}`,
  };
}

function eventFields(epoch: string, { offset, type, json }: WireEvent): string {
  return `"id":"${epoch}.${offset}","event":"${type}","data":${json}`;
}
