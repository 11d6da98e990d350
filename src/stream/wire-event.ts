// A durable event on its way out: where it stands, its type, and its public JSON as text. Made from log items
// without parsing; adjacent deltas of one part become one event at the position of the last (PROTOCOL §4).
import type { LogItem } from '../broker/broker.ts';
import { isInternalType, publicJson, typeOf } from '../session/events/chat-event.ts';
import type { PlacedDelta } from '../session/events/finished-answer.ts';
import { isSamePart, mergeDeltas } from '../session/events/delta-json.ts';

export interface WireEvent {
  readonly offset: number;
  readonly type: string;
  readonly json: string;
}

/** UTF-16 code units of one merged delta's JSON: a reader handles it in one piece. */
export const MERGED_CHARS_MAX = 256 * 1024;

/** Undefined for what never leaves the log: internal events, and records of a version this code does not know. */
export function wireEvent(item: LogItem): WireEvent | undefined {
  if (item.kind !== 'record') return undefined;
  const type = typeOf(item.data);
  if (type === undefined || isInternalType(type)) return undefined;
  return { offset: item.offset, type, json: publicJson(item.data, type) };
}

/** Of a delta that stands for several records. */
export function toWireEvent({ offset, delta: { type, ...fields } }: PlacedDelta): WireEvent {
  return { offset, type, json: JSON.stringify(fields) };
}

/** The same story in fewer events. Positions still strictly rise, texts still join. */
export function coalesce(events: readonly WireEvent[]): readonly WireEvent[] {
  if (events.length < 2) return events;
  const merged: WireEvent[] = [];
  for (let i = 0; i < events.length;) {
    const end = runEnd(events, i);
    const first = events[i];
    const last = events[end - 1];
    if (first === undefined || last === undefined) break;
    const json = end - i === 1 ? first.json : mergeDeltas(events.slice(i, end).map((event) => event.json));
    merged.push({ offset: last.offset, type: first.type, json });
    i = end;
  }
  return merged;
}

/** Where the stretch of deltas that begins at `start` and may be merged ends (exclusive). */
function runEnd(events: readonly WireEvent[], start: number): number {
  const first = events[start];
  if (first?.type !== 'delta') return start + 1;
  let chars = first.json.length;
  let end = start + 1;
  for (; end < events.length; end += 1) {
    const next = events[end];
    if (next?.type !== 'delta' || !isSamePart(first.json, next.json)) break;
    chars += next.json.length;
    if (chars > MERGED_CHARS_MAX) break;
  }
  return end;
}
