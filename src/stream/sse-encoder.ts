// Server-sent events as text. Pure. JSON is one line by construction (JSON.stringify escapes every line break
// that SSE knows), types come from a closed set and ids from `encodePosition`, so nothing a model says can end
// a field early. [WHATWG HTML §9.2.6]
import { controlJson } from './native-control.ts';
import type { WireEncoder } from './wire-encoder.ts';

export const sseEncoder: WireEncoder = {
  key: 'sse',
  encodeEvents(epoch, events) {
    let text = '';
    for (const { offset, type, json } of events)
      text += `id: ${epoch}.${offset}${type === 'delta' ? DELTA_LINES : linesOf(type)}${json}\n\n`;
    return text;
  },
  encodeControl: (event) => `event: ${event.type}\ndata: ${controlJson(event)}\n\n`,
};

const DELTA_LINES = linesOf('delta');

/** Between an event's id and its data. */
function linesOf(type: string): string {
  return `\nevent: ${type}\ndata: `;
}

/** Keeps proxies and half-open detection awake. */
export const SSE_HEARTBEAT = ': hb\n\n';

/** How long an EventSource waits before it reconnects. */
export function sseRetry(ms: number): string {
  return `retry: ${ms}\n\n`;
}
