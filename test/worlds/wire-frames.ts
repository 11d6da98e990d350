// Parses frames as a client does: events with their ids, from server-sent events or from WebSocket messages.
import type { EventData, Observed } from './history.ts';

export interface WireEvent {
  /** Absent for control events. */
  readonly id: string | undefined;
  readonly type: string;
  readonly data: EventData;
}

/** Parses whole frames as the gateway writes them: `id`, `event` and `data` of one line each. Ignores comments and
 *  `retry`. */
export function parseSseFrames(text: string): WireEvent[] {
  return text.split('\n\n').flatMap((block) => {
    const fields = new Map(
      block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    );
    const data = fields.get('data');
    if (data === undefined) return [];
    return [{ id: fields.get('id'), type: fields.get('event') ?? 'message', data: JSON.parse(data) as EventData }];
  });
}

interface SocketEvent {
  readonly id?: string;
  readonly event: string;
  readonly data: EventData;
}

/** Frames without events (`subscribed`, `pong`, …) give none. */
export function parseSocketFrame(text: string): WireEvent[] {
  const frame = JSON.parse(text) as SocketEvent & { type: string; events?: readonly SocketEvent[] };
  const events = frame.type === 'events' ? (frame.events ?? []) : frame.type === 'event' ? [frame] : [];
  return events.map(({ id, event, data }) => ({ id, type: event, data }));
}

/** The observation that a history keeps of an event. A control event that no rule needs gives none. */
export function observeEvent(reader: string, { id, type, data }: WireEvent): Observed | undefined {
  if (id !== undefined) return { kind: 'event', reader, id, type, data };
  if (type === 'live')
    return { kind: 'live', reader, position: typeof data['position'] === 'string' ? data['position'] : null };
  return type === 'reset' ? { kind: 'reset', reader, reason: String(data['reason']) } : undefined;
}
