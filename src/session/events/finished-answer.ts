// Reads the answer of a finished run: its records, their marks and the terminal, which are one append. From them a
// reader receives, in place of a hole, the deltas that it still lacks, merged.
import type { Broker, Hole } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import { decodeEvent, decodeHidden, isTerminal, type Delta, type JsonObject, type PartKind } from './chat-event.ts';
import { decodeLengths, type DeltaMark } from './delta-mark.ts';
import { pacedRead } from './paced-read.ts';

export interface FinishedAnswer {
  readonly runId: string;
  readonly messageId: string;
  readonly marks: readonly DeltaMark[];
  readonly parts: readonly { readonly kind: PartKind; readonly text: string }[];
}

/** A delta, and the offset of the last record that it replaces. */
export interface MergedDelta {
  readonly offset: number;
  readonly delta: Delta;
}

/** The hidden fields of the first record of a terminal append. */
export function encodeMarks(messageId: string, marks: readonly DeltaMark[]): JsonObject {
  return { answerId: messageId, marks };
}

/** Undefined if a part of the answer is lost: its marks then do not match its text.
 *  @throws BrokerError corrupt: the answer that the hole names does not exist */
export async function readFinishedAnswer(
  broker: Broker,
  topic: LiteTopicName,
  epoch: string,
  by: number,
): Promise<FinishedAnswer | undefined> {
  const parts: { kind: PartKind; chunks: string[] }[] = [];
  let hidden: JsonObject | undefined;
  let from = by;
  for (;;) {
    const result = await pacedRead(broker, topic, { epoch, offset: from });
    if (result.kind !== 'batch') throw new BrokerError('corrupt', `a hole names offset ${by}, which is not there`);
    for (const item of result.items) {
      if (item.kind === 'lost') return undefined;
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (item.kind === 'record') hidden ??= decodeHidden(item.data);
      if (event?.type === 'run.answer') {
        parts[event.part] ??= { kind: event.kind, chunks: [] };
        parts[event.part]?.chunks.push(event.text);
      }
      if (event !== undefined && isTerminal(event)) return finished(event.runId, hidden, parts);
    }
    if (result.end) throw new BrokerError('corrupt', `the answer at offset ${by} has no end`);
    from = result.next;
  }
}

function finished(
  runId: string,
  hidden: JsonObject | undefined,
  parts: { kind: PartKind; chunks: string[] }[],
): FinishedAnswer {
  // Written by `encodeMarks` and by nothing else.
  const { answerId, marks } = hidden as { answerId: string; marks: DeltaMark[] };
  const whole = Array.from(parts, (part) => ({ kind: part.kind, text: part.chunks.join('') }));
  return { runId, messageId: answerId, marks, parts: whole };
}

/** The deltas in place of a hole: one for each mark inside it, at the mark's last offset. A mark whose text a restart
 *  dropped whole gives none. */
export function fillHole(hole: Hole, answer: FinishedAnswer): MergedDelta[] {
  return answer.marks.flatMap((mark) => {
    const delta = cutMark(mark, hole, answer);
    return delta === undefined ? [] : [delta];
  });
}

function cutMark(mark: DeltaMark, hole: Hole, answer: FinishedAnswer): MergedDelta | undefined {
  if (mark.from > hole.to) return undefined;
  const lengths = decodeLengths(mark.lengths);
  const last = Math.min(hole.to, mark.from + lengths.length - 1);
  if (last < hole.from) return undefined;
  const before = sum(lengths, 0, hole.from - mark.from);
  const through = before + sum(lengths, Math.max(0, hole.from - mark.from), last - mark.from + 1);
  const part = answer.parts[mark.part];
  const at = mark.at + Math.min(before, mark.keep);
  const text = part?.text.slice(at, mark.at + Math.min(through, mark.keep)) ?? '';
  if (part === undefined || text === '') return undefined;
  const { runId, messageId } = answer;
  return { offset: last, delta: { type: 'delta', runId, messageId, part: mark.part, kind: part.kind, at, text } };
}

function sum(lengths: readonly number[], from: number, to: number): number {
  let total = 0;
  for (let i = Math.max(0, from); i < to; i += 1) total += lengths[i] ?? 0;
  return total;
}
