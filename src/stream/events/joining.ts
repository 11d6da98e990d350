// Leaves out the text behind a gap: a reader joins the deltas of a part by their place in it (PROTOCOL §4), and text
// behind lost records would not join. Until the run starts again from nothing, or begins another leg, the reader gets
// none of it. Pure.
import { parseEvent } from '../../session/events/chat-event.ts';
import type { WireEvent } from './wire-event.ts';

export interface Joined {
  readonly events: readonly WireEvent[];
  /** As the next call needs it. */
  readonly joins: Set<string> | undefined;
}

/** Leaves out what does not join. `joins`: the runs whose text joins behind the last gap; undefined if the reader has
 *  met none. */
export function joining(events: readonly WireEvent[], joins: Set<string> | undefined): Joined {
  if (joins === undefined && !events.some(({ type }) => type === 'lost')) return { events, joins };
  let known = joins;
  const kept = events.filter((event) => {
    if (event.type === 'lost') known = new Set();
    return known === undefined || mayJoin(event, known);
  });
  return { events: kept, joins: known };
}

function mayJoin({ type, json }: WireEvent, joins: Set<string>): boolean {
  switch (type) {
    case 'run.resumed': {
      // A leg begins with a new part.
      const event = parseEvent(type, json);
      if ('runId' in event) joins.add(event.runId);
      return true;
    }
    case 'run.started':
    case 'run.restarted': {
      const event = parseEvent(type, json);
      const isFromNothing =
        event.type === 'run.started' || (event.type === 'run.restarted' && event.part === 0 && event.at === 0);
      if (isFromNothing) joins.add(event.runId);
      return isFromNothing || ('runId' in event && joins.has(event.runId));
    }
    case 'delta':
    case 'part.started':
    case 'tool.result': {
      const event = parseEvent(type, json);
      return 'runId' in event && joins.has(event.runId);
    }
    default:
      return true;
  }
}
