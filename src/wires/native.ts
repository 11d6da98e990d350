// The native wires: server-sent events and WebSocket messages that carry the events as they are stored. Pure. JSON is
// one line by construction (JSON.stringify escapes every line break of SSE), types are from a closed set, and ids
// consist of an epoch and an offset, so no text of a model can end a field early. [PROTOCOL §4-§6; WHATWG HTML §9.2.6]
import { encodePosition } from '../broker/position.ts';
import type { ControlEvent, SharedWire, WireEncoder } from '../stream/projection.ts';
import type { WireEvent } from '../stream/events/wire-event.ts';

const DELTA_LINES = linesOf('delta');

const sseEncoder: WireEncoder = {
  key: 'sse',
  over: undefined,
  encodeEvents(epoch, events) {
    let text = '';
    for (const { offset, type, json } of events)
      text += `id: ${epoch}.${offset}${type === 'delta' ? DELTA_LINES : linesOf(type)}${json}\n\n`;
    return text;
  },
  encodeControl: (event) => `event: ${event.type}\ndata: ${controlJson(event)}\n\n`,
};

/** The lines between the id of an event and its data. */
function linesOf(type: string): string {
  return `\nevent: ${type}\ndata: `;
}

const SSE_HEARTBEAT = ': hb\n\n';

export const sseWire: SharedWire = {
  name: 'sse',
  framing: 'until-close',
  headers: { 'content-type': 'text/event-stream; charset=utf-8' },
  beat: SSE_HEARTBEAT,
  begin: (retryMs) => `retry: ${retryMs}\n\n${SSE_HEARTBEAT}`,
  shared: sseEncoder,
};

class WsEncoder implements WireEncoder {
  readonly key = 'ws';
  readonly over = undefined;
  readonly #sessionId: string;

  constructor(sessionId: string) {
    this.#sessionId = sessionId;
  }

  /** Encodes one event as an `event` message, several as one `events` message. */
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

/** The wire of one subscription. `sessionId` is `[A-Za-z0-9_-]`, so it needs no escaping. */
export function wsWire(sessionId: string): SharedWire {
  return {
    name: 'ws',
    framing: 'socket',
    headers: {},
    beat: '',
    begin: () => '',
    shared: new WsEncoder(sessionId),
  };
}

function eventFields(epoch: string, { offset, type, json }: WireEvent): string {
  return `"id":"${epoch}.${offset}","event":"${type}","data":${json}`;
}

/** The data of a control event, the same on both wires. */
function controlJson(event: ControlEvent): string {
  switch (event.type) {
    case 'live':
      return JSON.stringify({ position: event.position === undefined ? null : encodePosition(event.position) });
    case 'reset': {
      const { reason, epoch } = event;
      const at = (offset: number): string => encodePosition({ epoch, offset });
      return JSON.stringify({ reason, epoch, earliest: at(event.earliest), next: at(event.next) });
    }
    case 'reconnect':
      return JSON.stringify({ afterMs: event.afterMs });
    case 'expired':
      return '{}';
    case 'expiring':
      return JSON.stringify({ expiresAt: new Date(event.expiresAt).toISOString() });
    case 'queue':
      return JSON.stringify({
        runId: event.runId,
        ahead: event.ahead,
        paused: event.paused,
        startsInSeconds: event.startsInSeconds,
      });
    default:
      return event satisfies never;
  }
}
