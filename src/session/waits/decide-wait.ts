// How a wait ends: an answer, or its time. Pure: a command state in, drafts of events out, or a refusal.
import type { CommandState, RunInfo } from '../commands/command-state.ts';
import { isOpenInput, type RunInput } from '../commands/run-inputs.ts';
import { closedDraft, foldDrafts, openInputs, type Decision } from '../commands/decisions.ts';
import { SessionError } from '../errors.ts';
import type { RunError } from '../events/chat-event.ts';
import type { InputReply } from '../events/wait-events.ts';
import { pickReply, replyHash } from './input-reply.ts';

/** The user may send the prompt again. */
export const INPUT_EXPIRED: RunError = {
  code: 'input-expired',
  message: 'nobody answered what this run asked for in time',
  retryable: true,
};

export interface FoundInput {
  readonly run: RunInfo;
  readonly input: RunInput;
}

/** An input of a run that has not ended. */
export function findInput({ runs }: CommandState, inputId: string): FoundInput | undefined {
  for (const run of runs) {
    const input = run.inputs?.find((one) => one.inputId === inputId);
    if (input !== undefined) return { run, input };
  }
  return undefined;
}

/** Whether this reply was given before. @throws SessionError already-answered, with who and when; not-waiting: closed
 *  without an answer */
export function isRepeated(input: Pick<RunInput, 'answered' | 'closed'>, hash: string): boolean {
  const { answered, closed } = input;
  if (closed !== undefined)
    throw new SessionError('not-waiting', { message: 'this input was closed without an answer' });
  if (answered === undefined) return false;
  if (answered.hash === hash) return true;
  const { by, createdAt } = answered;
  throw new SessionError('already-answered', { details: { by, createdAt } });
}

/** A reply that is not stored yet. `createdAt`: by the run's own time. */
export interface GivenReply extends FoundInput {
  readonly reply: InputReply;
  readonly createdAt: string;
}

/** The answer that leaves no input open makes the run queued again. */
export function decideAnswers(state: CommandState, given: readonly GivenReply[], by: string): Decision {
  return foldDrafts(
    state,
    given.map(({ run: { runId }, input: { inputId }, reply, createdAt }) => ({
      event: { type: 'input.answered', runId, inputId, by, ...pickReply(reply), createdAt },
      context: { bodyHash: replyHash(reply) },
    })),
  );
}

/** Closes what is open, and fails the run if it may not continue without answers. */
export function decideExpiry(state: CommandState, run: RunInfo, now: string): Decision {
  const { runId, failsOnExpiry } = run;
  const closed = openInputs(run).map(({ inputId }) => closedDraft(run, inputId, 'expired', now));
  if (failsOnExpiry !== true) return foldDrafts(state, closed);
  return foldDrafts(state, [...closed, { event: { type: 'run.failed', runId, error: INPUT_EXPIRED, endedAt: now } }]);
}

export function countOpen({ inputs = [] }: RunInfo): number {
  return inputs.filter(isOpenInput).length;
}
