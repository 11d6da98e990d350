// Decides when the text of dead records has to leave the disk, whatever else lives in its segment. Half of the time
// that is allowed passes first, so that a segment is emptied once for many records that died in it; the other half is
// for the work. Pure.
import type { SegmentFigures } from '../disk/segments.ts';

/** When the segment is due, in the engine's time; undefined if nothing in it is dead. */
export function dueAt({ deadSince }: SegmentFigures, eraseWithinMs: number): number | undefined {
  return deadSince === undefined ? undefined : deadSince + eraseWithinMs / 2;
}

/** The segment that is due first, if any is due now. */
export function firstDue(
  segments: readonly SegmentFigures[],
  eraseWithinMs: number,
  now: number,
): SegmentFigures | undefined {
  let [found, first]: [SegmentFigures | undefined, number] = [undefined, now];
  for (const segment of segments) {
    const at = dueAt(segment, eraseWithinMs) ?? Infinity;
    if (at <= first) [found, first] = [segment, at];
  }
  return found;
}

/** When the next segment is due; Infinity for none. */
export function nextDueAt(segments: Iterable<SegmentFigures>, eraseWithinMs: number): number {
  let next = Infinity;
  for (const segment of segments) next = Math.min(next, dueAt(segment, eraseWithinMs) ?? Infinity);
  return next;
}

/** Bytes of segments to read in a second, so that everything that is due is read in a quarter of the time. */
export function paceFor(segments: readonly SegmentFigures[], eraseWithinMs: number, now: number): number {
  let bytes = 0;
  for (const segment of segments) if ((dueAt(segment, eraseWithinMs) ?? Infinity) <= now) bytes += segment.bytes;
  return bytes / (eraseWithinMs / 4 / 1000);
}
