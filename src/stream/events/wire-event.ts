// An event as wires send it: its offset, its type, and its public JSON as text. It is made from a log item without
// parsing. Adjacent deltas of one part are merged into one event at the offset of the last [PROTOCOL §4].
import type { LogItem } from '../../broker/broker.ts';
import { isInternalType, publicJson, typeOf } from '../../session/events/chat-event.ts';
import type { MergedDelta } from '../../session/events/finished-answer.ts';
import { isSamePart, mergeDeltas } from '../../session/events/delta-json.ts';

export interface WireEvent {
  readonly offset: number;
  readonly type: string;
  readonly json: string;
}

/** UTF-16 code units in the JSON of one merged delta. A reader handles a delta in one piece. */
export const MERGED_CHARS_MAX = 256 * 1024;

/** Undefined for an item that wires do not send: a hole, an internal event, or a record of an unknown version. */
export function wireEvent(item: LogItem): WireEvent | undefined {
  if (item.kind === 'lost') return lostEvent(item);
  if (item.kind !== 'record') return undefined;
  const type = typeOf(item.data);
  if (type === undefined || isInternalType(type)) return undefined;
  return { offset: item.offset, type, json: publicJson(item.data, type) };
}

/** The event of offsets that are lost, at the last of them. */
export function lostEvent({ from, to }: { readonly from: number; readonly to: number }): WireEvent {
  return { offset: to, type: 'lost', json: JSON.stringify({ from, to }) };
}

/** The event of a delta that replaces several records. */
export function toWireEvent({ offset, delta: { type, ...fields } }: MergedDelta): WireEvent {
  return { offset, type, json: JSON.stringify(fields) };
}

/** Merges adjacent deltas of one part. Offsets still rise strictly, and the texts still join. */
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

/** The end (exclusive) of the deltas that begin at `start` and may be merged. */
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
