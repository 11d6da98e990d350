// How a worker leaves a run under its fence: it ends the run, or asks a human.
import { isBrokerError } from '../../broker/errors.ts';
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import type { RunError, RunTally, RunTerminal } from '../../session/events/chat-event.ts';
import { isSessionError } from '../../session/errors.ts';
import { endRun } from '../../session/commands/run-ending.ts';
import { askInputs } from '../../session/waits/ask-inputs.ts';
import { InvalidWaitError, type NewWait } from '../../session/waits/new-wait.ts';
import { isAgentError } from '../agent-error.ts';
import { persist } from '../persist.ts';
import { ProviderError } from '../provider.ts';
import type { HeldRun, RunDeps, RunOutcome } from './run-deps.ts';
import { noteEnd } from './run-span.ts';
import { AnswerTooLargeError } from './token-writer.ts';

interface Finishing {
  readonly answer: AnswerBuilder;
  /** The number of the append that ends the run, under its fence. */
  readonly seq: number;
  /** `finish` sets the length of a completed answer. */
  readonly terminal: RunTerminal;
  /** No retries after it aborts. */
  readonly until: AbortSignal;
}

/** Appends the answer and the terminal, with retries. A retry finds a terminal whose append succeeded unnoticed, and
 *  does not write it twice. */
export async function finish(
  deps: RunDeps,
  { ref, run, fence, span }: HeldRun,
  { answer, seq, terminal: draft, until }: Finishing,
): Promise<RunOutcome> {
  const terminal = draft.type === 'run.completed' ? { ...draft, length: answer.textLength() } : draft;
  try {
    const committed = await persist(deps.clock, until, () =>
      endRun(deps.log, ref, run, terminal, answer, { fence, seq }),
    );
    if (committed === undefined) return 'gone';
    noteEnd(span, run, terminal);
    return terminal.type;
  } catch (error) {
    if (isBrokerError(error, 'fenced')) return 'lost';
    if (!isSessionError(error, 'not-found')) throw error;
    deps.onGone?.({ ref, run, tally: terminal });
    return 'gone';
  }
}

interface Asking {
  readonly wait: NewWait;
  /** The number of the append that asks, under its fence. */
  readonly seq: number;
  /** The run's own time. */
  readonly now: () => string;
  readonly tally: () => RunTally;
  /** No retries after it aborts. */
  readonly until: AbortSignal;
}

/** Asks the human, with retries. From then on nobody has the run until it is answered. */
export async function askHuman(
  { clock, log, runs, onWaiting, onGone }: RunDeps,
  { ref, run, fence }: HeldRun,
  { wait, seq, now, tally, until }: Asking,
): Promise<RunOutcome> {
  try {
    const asked = await persist(clock, until, () => askInputs(log, ref, run, wait, now(), { fence, seq }));
    if (asked === 'cancelling') return (await runs.endCancelled(ref, run.runId)) ? 'run.cancelled' : 'gone';
    if (asked === 'waiting') onWaiting?.(run, wait);
    return asked;
  } catch (error) {
    if (isBrokerError(error, 'fenced')) return 'lost';
    if (!isSessionError(error, 'not-found')) throw error;
    onGone?.({ ref, run, tally: tally() });
    return 'gone';
  }
}

/** The error that the user sees; undefined for a failure of neither the upstream nor the answer. */
export function describeFailure(error: unknown): RunError | undefined {
  if (error instanceof ProviderError || isAgentError(error))
    return { code: error.code, message: error.message, retryable: error.retryable };
  if (error instanceof InvalidWaitError) return { code: error.code, message: error.message, retryable: false };
  if (error instanceof AnswerTooLargeError)
    return { code: 'answer-too-large', message: error.message, retryable: false };
  return undefined;
}
