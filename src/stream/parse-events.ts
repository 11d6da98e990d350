// Public events as projections take them: parsed.
import { parseEvent } from '../session/events/chat-event.ts';
import type { ParsedEvent } from './projection.ts';
import type { LostRecords } from './run/run-change.ts';
import type { WireEvent } from './events/wire-event.ts';

export function parseEvents(events: readonly WireEvent[]): readonly ParsedEvent[] {
  return events.map(({ offset, type, json }) => ({
    offset,
    event: type === 'lost' ? ({ type, ...(JSON.parse(json) as object) } as LostRecords) : parseEvent(type, json),
  }));
}
