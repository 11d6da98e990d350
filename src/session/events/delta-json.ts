// Deltas are what nearly every record is, so they have a codec that does not parse: the head of a part's deltas
// is built once, and adjacent deltas are merged by joining the bodies of their JSON strings.
import type { NewRecord } from '../../broker/broker.ts';
import { RECORD_VERSION, type PartKind } from './chat-event.ts';

const AT = ',"at":';
const TEXT = ',"text":"';
const END = '"}';

/** All of a part's delta records up to their text's place: build it once per part. */
export function deltaHead(runId: string, messageId: string, part: number, kind: PartKind): string {
  const fields = JSON.stringify({ runId, messageId, part, kind });
  return `${RECORD_VERSION}delta ${fields.slice(0, -1)}${AT}`;
}

/** The same record as `encodeEvent` of that delta. */
export function encodeDelta(head: string, at: number, text: string): NewRecord {
  return { major: false, data: `${head}${at},"text":${JSON.stringify(text)}}` };
}

/** Do these two deltas (public JSON) belong to one part of one run? Ids hold no quotes, so the first `,"at":` ends
 *  what they must have in common. */
export function isSamePart(a: string, b: string): boolean {
  const end = a.indexOf(AT);
  return end > 0 && b.startsWith(a.slice(0, end + AT.length));
}

/** One delta in place of several adjacent ones of one part, in order. A JSON string's body may be joined to another's
 *  as it stands: no escape reaches across its end. */
export function mergeDeltas(deltas: readonly string[]): string {
  const [first = '', ...rest] = deltas;
  if (rest.length === 0) return first;
  const bodies = rest.map((json) => json.slice(json.indexOf(TEXT) + TEXT.length, -END.length));
  return `${first.slice(0, -END.length)}${bodies.join('')}${END}`;
}
