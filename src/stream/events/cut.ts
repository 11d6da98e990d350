// Prepares the events of a reader that resumes a projection. Such a reader holds everything up to one offset, the cut.
// The projection needs the exact length of the text at the cut, so no merged delta may span the cut, and placeholders
// replace the text up to the cut that the log has lost. Pure.
import type { Hole } from '../../broker/broker.ts';
import { decodeLengths, type DeltaMark } from '../../session/events/delta-mark.ts';
import { fillHole, type FinishedAnswer } from '../../session/events/finished-answer.ts';
import { coalesce, toWireEvent, type WireEvent } from './wire-event.ts';

/** The placeholder of one UTF-16 code unit that a restart dropped and that the log no longer holds. U+FFFF is a
 *  noncharacter: no text contains it. */
export const LOST_UNIT = '\uffff';

/** Deltas of one answer that `fillExactly` gives apart: they are in memory together. */
const EXACT_DELTAS_MAX = 65_536;

/** The events of a hole, one for each delta of which text is left: for a reader that joins two readings of one answer
 *  by the offsets of its deltas. The deltas of a very long answer are merged. */
export function fillExactly(hole: Hole, answer: FinishedAnswer): readonly WireEvent[] {
  const lengths = answer.marks.map((mark) => decodeLengths(mark.lengths));
  if (lengths.reduce((sum, { length }) => sum + length, 0) > EXACT_DELTAS_MAX)
    return fillHole(hole, answer).map(toWireEvent);
  return answer.marks.flatMap((mark, i) => exactDeltas(mark, lengths[i] ?? [], hole, answer));
}

function exactDeltas(
  { from, part, at, keep }: DeltaMark,
  lengths: readonly number[],
  hole: Hole,
  { runId, messageId, parts }: FinishedAnswer,
): WireEvent[] {
  const events: WireEvent[] = [];
  const whole = parts[part];
  let start = 0;
  for (const [i, length] of lengths.entries()) {
    const offset = from + i;
    const text = whole?.text.slice(at + Math.min(start, keep), at + Math.min(start + length, keep)) ?? '';
    if (whole !== undefined && text !== '' && offset >= hole.from && offset <= hole.to) {
      const fields = { runId, messageId, part, kind: whole.kind, at: at + start, text };
      events.push(toWireEvent({ offset, delta: { type: 'delta', ...fields } }));
    }
    start += length;
  }
  return events;
}

/** Merges deltas, but none across the cut. */
export function coalesceAround(events: readonly WireEvent[], cut: number | undefined): readonly WireEvent[] {
  if (cut === undefined) return coalesce(events);
  const split = events.findIndex(({ offset }) => offset > cut);
  return split <= 0 ? coalesce(events) : [...coalesce(events.slice(0, split)), ...coalesce(events.slice(split))];
}

/** The events of a hole. Up to the cut: one event for each record that readers received there. Behind the cut, or
 *  without one: the text that a reader still lacks. */
export function fillAround(hole: Hole, answer: FinishedAnswer, cut: number | undefined): readonly WireEvent[] {
  if (cut === undefined || hole.from > cut) return fillHole(hole, answer).map(toWireEvent);
  const before = answer.marks.flatMap((mark) => {
    const part = answer.parts[mark.part];
    let from = 0;
    return decodeLengths(mark.lengths).flatMap((length, i) => {
      const [offset, start] = [mark.from + i, from];
      from += length;
      if (offset < hole.from || offset > Math.min(hole.to, cut)) return [];
      const kept = part?.text.slice(mark.at + start, mark.at + Math.min(from, Math.max(start, mark.keep))) ?? '';
      // After a restart dropped a whole part, the part may have another kind, and the log no longer holds the former
      // one. The lost units then count as text: a wrong guess can only refuse a resume.
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
