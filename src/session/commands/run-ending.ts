// Ends a run with one atomic append: the answer, the terminal, the superseded ranges, and the next run's request. The
// holder of the run's fence appends it: its worker, or the node that received the Stop.
import type { Broker } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import { answerEvents, type AnswerBuilder } from '../events/answer-builder.ts';
import { decodeEvent, type ChatEvent, type RunTerminal } from '../events/chat-event.ts';
import type { CommandLog, Committed } from './command-log.ts';
import { findRun, type RunInfo } from './command-state.ts';
import { foldDrafts, type Draft } from './decisions.ts';
import { SessionError } from '../errors.ts';
import { encodeMarks } from '../events/finished-answer.ts';
import type { SessionRef } from '../session-ref.ts';
import { chatTopic } from '../topic-names.ts';

/** The `by` and `reason` of a run that ends because nobody watches it. */
export const UNWATCHED = { by: 'holdline', reason: 'unwatched' } as const;

export interface FenceHolder {
  readonly fence: number;
  /** Sequence number of the append that ends the run. A conflict stores nothing, so a retry uses the same number. */
  readonly seq: number;
}

/**
 * Ends a running run under its fence. Returns undefined if the run has ended already.
 * @throws BrokerError fenced: another worker took the run over; SessionError not-found: the chat is gone
 */
export async function endRun(
  log: CommandLog,
  ref: SessionRef,
  run: RunInfo,
  terminal: RunTerminal,
  answer: AnswerBuilder,
  holder: FenceHolder,
): Promise<Committed | undefined> {
  const drafts = endingDrafts(run, terminal, answer);
  const supersedes = answer.supersedes();
  return log.transact<Committed | undefined>(ref, (loaded) => {
    if (loaded === undefined) throw new SessionError('not-found');
    if (findRun(loaded.state, run.runId) === undefined) return { unchanged: undefined };
    const fencing = { fence: holder.fence, seq: holder.seq };
    return { ...foldDrafts(loaded.state, drafts), supersedes, fencing, answer: (committed) => committed };
  });
}

function endingDrafts(run: RunInfo, terminal: RunTerminal, answer: AnswerBuilder): Draft[] {
  const [first, ...rest] = answerEvents(run.runId, run.answerId, answer.parts());
  // Holes name the first record of the append, so that record carries the marks, also if it is the terminal.
  const hidden = encodeMarks(run.answerId, answer.marks());
  if (first === undefined) return [{ event: terminal, hidden }];
  return [{ event: first, hidden }, ...rest.map((event) => ({ event })), { event: terminal }];
}

/** Receives the events of a run in log order. An `AnswerBuilder` is one. */
export interface RunFold {
  apply(event: ChatEvent, offset: number): void;
}

/** Applies the records of a run, from its first one up to `to` (exclusive), to a fold. False if some of them may be
 *  lost: the text of the answer does not join then.
 *  @throws BrokerError epoch-changed, corrupt */
export async function readRun(
  broker: Broker,
  ref: SessionRef,
  epoch: string,
  run: RunInfo,
  to: number,
  fold: RunFold,
): Promise<boolean> {
  const topic = chatTopic(ref);
  let isWhole = true;
  let from = run.startedAt ?? to;
  while (from < to) {
    const result = await broker.read(topic, { epoch, offset: from });
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while its run was read');
    for (const item of result.items) {
      if (item.kind === 'lost') isWhole = false;
      if (item.kind !== 'record' || item.offset >= to) continue;
      const event = decodeEvent(item.data);
      if (event !== undefined && 'runId' in event && event.runId === run.runId) fold.apply(event, item.offset);
    }
    if (result.end) break;
    from = result.next;
  }
  return isWhole;
}
