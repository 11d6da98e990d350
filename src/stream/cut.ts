// A reader that resumes a projection holds everything up to one offset, the cut. The projection must know how long the text
// was there, so no merged delta may stand across it, and text that the log holds no more is stood in for. Pure.
import type { Hole } from '../broker/broker.ts';
import { decodeLengths } from '../session/events/delta-mark.ts';
import { fillHole, type FinishedAnswer } from '../session/events/finished-answer.ts';
import { coalesce, toWireEvent, type WireEvent } from './wire-event.ts';

/** Stands for one code unit that a restart dropped and that the log does not hold any more. Not a character of any text. */
export const LOST_UNIT = '\uffff';

export function coalesceAround(events: readonly WireEvent[], cut: number): readonly WireEvent[] {
  const split = events.findIndex(({ offset }) => offset > cut);
  return split <= 0 ? coalesce(events) : [...coalesce(events.slice(0, split)), ...coalesce(events.slice(split))];
}

/** Up to the cut: what readers were sent there, each record by itself. Behind it: what a reader still lacks. */
export function fillAround(hole: Hole, answer: FinishedAnswer, cut: number): readonly WireEvent[] {
  if (hole.from > cut) return fillHole(hole, answer).map(toWireEvent);
  const before = answer.marks.flatMap((mark) => {
    const part = answer.parts[mark.part];
    let from = 0;
    return decodeLengths(mark.lengths).flatMap((length, i) => {
      const [offset, start] = [mark.from + i, from];
      from += length;
      if (offset < hole.from || offset > Math.min(hole.to, cut)) return [];
      const kept = part?.text.slice(mark.at + start, mark.at + Math.min(from, Math.max(start, mark.keep))) ?? '';
      // A part that was dropped whole may be of another kind now, and the log does not hold what it was. What is lost counts
      // as text then, which can only refuse a resume.
      const kind = mark.keep === 0 ? 'text' : (part?.kind ?? 'text');
      const { runId, messageId } = answer;
      const text = kept + LOST_UNIT.repeat(length - kept.length);
      return [
        toWireEvent({
          offset,
          delta: { type: 'delta', runId, messageId, part: mark.part, kind, at: mark.at + start, text },
        }),
      ];
    });
  });
  const rest = hole.to <= cut ? [] : fillHole({ ...hole, from: cut + 1 }, answer).map(toWireEvent);
  return [...before, ...rest];
}
