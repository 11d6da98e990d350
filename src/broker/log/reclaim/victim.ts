// Decides whether the log holds too much that is dead, and which segment is to be emptied next. Pure.
import { RECORD_WEIGHT, type SegmentFigures } from '../disk/segments.ts';

/** A frame with one record takes at most this many times the record's weight: the longest name and epoch, and a text of
 *  no bytes. */
const FRAME_FACTOR_MAX = 8;

/** About how many bytes of a file of `bytes` its live records take. A file of which nothing has died is live as a
 *  whole, whatever its records are like: otherwise it would be moved, and moved again. */
export function liveBytes({ live, records, written, isCounted }: SegmentFigures, bytes: number): number {
  if (live <= 0) return 0;
  if (!isCounted) return Math.min(bytes, live);
  const weight = live + records * (RECORD_WEIGHT - 1);
  return Math.min(bytes, FRAME_FACTOR_MAX * weight, written === 0 ? bytes : bytes * (weight / written));
}

export interface LogSize {
  /** Bytes of the segments that hold a live record, and of the current one. */
  readonly log: number;
  readonly live: number;
  /** Bytes of the other segments: the next checkpoint removes them. */
  readonly dead: number;
}

/** `current`: the segment that is being written, and its length. */
export function sizeOf(
  segments: Iterable<SegmentFigures>,
  current: { readonly segment: number; readonly position: number },
): LogSize {
  let [log, live, dead] = [0, 0, 0];
  for (const segment of segments) {
    const isCurrent = segment.id === current.segment;
    if (segment.live <= 0 && !isCurrent) {
      dead += segment.bytes;
      continue;
    }
    const bytes = isCurrent ? current.position : segment.bytes;
    log += bytes;
    live += liveBytes(segment, bytes);
  }
  return { log, live, dead };
}

/** The segment of which the least is live, if that is less than `shareMax` of it and at most `liveMax` bytes. */
export function leastLive(
  segments: readonly SegmentFigures[],
  { shareMax, liveMax }: { readonly shareMax: number; readonly liveMax: number },
): SegmentFigures | undefined {
  let [found, least]: [SegmentFigures | undefined, number] = [undefined, shareMax];
  for (const segment of segments) {
    const live = liveBytes(segment, segment.bytes);
    if (live >= least * segment.bytes || live > liveMax) continue;
    [found, least] = [segment, live / segment.bytes];
  }
  return found;
}
