// How a run ends: one atomic append with the answer, the terminal, what they supersede, and the next run's
// request. Whoever holds the run's fence writes it: its worker, or the node that was asked to stop it.
import type { Broker } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import { answerEvents, type AnswerBuilder } from '../events/answer-builder.ts';
import { decodeEvent, type RunTerminal } from '../events/chat-event.ts';
import type { CommandLog, Committed } from './command-log.ts';
import { findRun, type RunInfo } from './command-state.ts';
import { foldDrafts, type Draft } from './decisions.ts';
import { SessionError } from '../errors.ts';
import { encodeMarks } from '../events/finished-answer.ts';
import type { SessionRef } from '../session-ref.ts';
import { chatTopic } from '../topic-names.ts';

/** In whose name, and why, a run is ended that nobody watches. */
export const UNWATCHED = { by: 'holdline', reason: 'unwatched' } as const;

export interface FenceHolder {
  readonly fence: number;
  /** Of the append that ends the run. A conflict stores nothing, so a retry uses it again. */
  readonly seq: number;
}

/**
 * Ends a running run under its fence. Answers undefined where the run has ended already.
 * @throws BrokerError fenced: another took the run over; SessionError not-found: the chat is gone
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
  // The first record of the append is what holes name, so it carries the marks, be it the terminal itself.
  const hidden = encodeMarks(run.answerId, answer.marks());
  if (first === undefined) return [{ event: terminal, hidden }];
  return [{ event: first, hidden }, ...rest.map((event) => ({ event })), { event: terminal }];
}

/** Feeds a builder what the log holds of a run from its first record to `to` (exclusive).
 *  @throws BrokerError epoch-changed, corrupt */
export async function readRun(
  broker: Broker,
  ref: SessionRef,
  epoch: string,
  run: RunInfo,
  to: number,
  answer: AnswerBuilder,
): Promise<void> {
  const topic = chatTopic(ref);
  let from = run.startedAt ?? to;
  while (from < to) {
    const result = await broker.read(topic, { epoch, offset: from });
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while its run was read');
    for (const item of result.items) {
      if (item.kind !== 'record' || item.offset >= to) continue;
      const event = decodeEvent(item.data);
      if (event !== undefined && 'runId' in event && event.runId === run.runId) answer.apply(event, item.offset);
    }
    if (result.end) return;
    from = result.next;
  }
}
