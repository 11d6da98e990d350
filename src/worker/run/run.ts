// One run, from its fence to its terminal. The order matters: the worker first takes the fence in the log, which
// excludes every earlier worker; then it reads the chat exactly up to the fence; only then it calls the model. In every
// case at most one terminal is written, and only under this fence.
import { AnswerBuilder } from '../../session/events/answer-builder.ts';
import { judgeAttempts, type AttemptVerdict } from '../../session/commands/attempts.ts';
import { LOG_DAMAGED } from '../../session/commands/earlier-state.ts';
import { readRun } from '../../session/commands/run-ending.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { AskedInputs } from '../conversation/earlier-legs.ts';
import { ActiveRun } from './active-run.ts';
import { finish } from './leave-run.ts';
import type { AttemptOutcome, HeldRun, RunDeps, RunOutcome, RunSoFar } from './run-deps.ts';
import { inRunSpan } from './run-span.ts';
import type { RunSignals } from './stop-sources.ts';
import { takeFence } from './take-fence.ts';

const ATTEMPT_FAILURES: Readonly<Record<Exclude<AttemptVerdict, 'go-on'>, string>> = {
  'worker-lost': 'every worker of this run was lost',
  'worker-blocked': 'the code of this run blocked its workers for longer than their lease',
};

/** @throws BrokerError where the log itself fails */
export async function executeRun(
  deps: RunDeps,
  ref: SessionRef,
  runId: string,
  signals: RunSignals,
): Promise<RunOutcome> {
  let outcome = await attemptRun(deps, ref, runId, signals);
  while (outcome === 'unjoinable') outcome = await attemptRun(restarting(deps), ref, runId, signals);
  return outcome;
}

/** The same agent, but it retains nothing of an earlier answer, so that the model need not continue one. */
function restarting(deps: RunDeps): RunDeps {
  return { ...deps, agent: { ...deps.agent, takeover: 'restart' } };
}

async function attemptRun(deps: RunDeps, ref: SessionRef, runId: string, signals: RunSignals): Promise<AttemptOutcome> {
  const { handedOver, lost } = signals;
  const held = await takeFence(deps, ref, runId, AbortSignal.any([handedOver, lost]));
  if (held === 'cancelling') return (await deps.runs.endCancelled(ref, runId)) ? 'run.cancelled' : 'gone';
  if (held === 'gone' || held === 'waiting' || held === 'lost') return held;
  if (held === 'released') return lost.aborted ? 'lost' : 'released';
  return inRunSpan(deps.clock, held, (span) => answerRun(deps, { ...held, span }, signals));
}

async function answerRun(deps: RunDeps, held: HeldRun, signals: RunSignals): Promise<AttemptOutcome> {
  const { run } = held;
  const soFar = await readSoFar(deps, held);
  const { agent } = deps;
  const fail = async (code: string, message: string, retryable: boolean): Promise<RunOutcome> =>
    finish(deps, held, {
      answer: soFar?.answer ?? new AnswerBuilder(),
      seq: 1,
      terminal: { type: 'run.failed', runId: run.runId, error: { code, message, retryable }, endedAt: held.now() },
      until: AbortSignal.any([signals.handedOver, signals.lost]),
    });
  if (soFar === undefined) return fail(LOG_DAMAGED.code, LOG_DAMAGED.message, LOG_DAMAGED.retryable);
  const verdict = judgeAttempts(run, agent.attemptsMax);
  if (verdict !== 'go-on') return fail(verdict, ATTEMPT_FAILURES[verdict], verdict === 'worker-lost');
  if (run.attempt - (run.earlierAttempts ?? 0) > 1 && agent.takeover === 'fail')
    return fail('worker-lost', 'the worker of this run was lost', true);
  return new ActiveRun(deps, held, soFar).generate(signals);
}

/** A first leg with a gap was dropped by the start of this attempt: the log keeps what is left of its deltas, and the
 *  new text replaces none of them. Undefined for a later leg: what it continues may be lost. */
async function readSoFar({ broker }: RunDeps, { ref, epoch, run, fence }: HeldRun): Promise<RunSoFar | undefined> {
  const answer = new AnswerBuilder();
  const asked = new AskedInputs(answer);
  if (await readRun(broker, ref, epoch, run, fence + 1, asked)) return { answer, earlier: asked.earlier() };
  return (run.leg ?? 0) > 0 ? undefined : { answer: new AnswerBuilder(), earlier: undefined };
}
