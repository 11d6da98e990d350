// A codec for deltas that does not parse, because nearly every record is a delta. The head of a part's deltas is built
// once, and adjacent deltas are merged by joining the bodies of their JSON strings.
import type { NewRecord } from '../../broker/broker.ts';
import { RECORD_VERSION, type PartKind } from './chat-event.ts';

const AT = ',"at":';
const TEXT = ',"text":"';
const END = '"}';

/** The beginning of all delta records of a part, up to `at`. Build it once for each part. */
export function deltaHead(runId: string, messageId: string, part: number, kind: PartKind): string {
  const fields = JSON.stringify({ runId, messageId, part, kind });
  return `${RECORD_VERSION}delta ${fields.slice(0, -1)}${AT}`;
}

/** The same record as `encodeEvent` of that delta. */
export function encodeDelta(head: string, at: number, text: string): NewRecord {
  return { major: false, data: `${head}${at},"text":${JSON.stringify(text)}}` };
}

/** Whether two deltas (public JSON) belong to the same part of the same run. Ids contain no quotes, so the common
 *  beginning ends at the first `,"at":`. */
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
