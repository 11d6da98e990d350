// Reports the end of a run: one log line and its share of the metrics, by the node that wrote the end. Ids, names and
// figures; never prompts or answers.
import type { Logger } from 'pino';
import type { Metrics } from '../gateway/metrics.ts';
import { UNWATCHED } from '../session/commands/run-ending.ts';
import type { EndedRun, GoneRun } from '../session/commands/command-log.ts';
import { runFigures } from '../session/commands/run-figures.ts';

export function reportRun(logger: Logger, metrics: Metrics, { ref, run, terminal }: EndedRun): void {
  const figures = runFigures(run.times, run.attempt, terminal);
  metrics.onRunEnded(run, figures, run.attempt, tokensOf(terminal));
  if (terminal.type === 'run.cancelled' && terminal.reason === UNWATCHED.reason)
    metrics.countUnwatched(figures.durationMs ?? 0);
  const { runId, agent, model, attempt: attempts } = run;
  const { type: outcome, deltas } = terminal;
  logger.info(
    { ...ref, runId, agent, model, attempts, outcome, ...howItEnded(terminal), deltas, ...figures },
    'run ended',
  );
}

/** The chat is gone, so this line is the only trace of the run. */
export function reportGone(logger: Logger, metrics: Metrics, { ref, run, tally }: GoneRun): void {
  const figures = runFigures(run.times, run.attempt, tally);
  metrics.onRunEnded(run, figures, run.attempt, tally.deltas ?? 0);
  const { runId, agent, model, attempt: attempts } = run;
  logger.info(
    { ...ref, runId, agent, model, attempts, outcome: 'gone', deltas: tally.deltas, ...figures },
    'run ended',
  );
}

/** The output tokens, or the deltas if the model reported none. */
function tokensOf({ usage, deltas }: EndedRun['terminal']): number {
  return usage?.outputTokens ?? deltas ?? 0;
}

function howItEnded(terminal: EndedRun['terminal']): Readonly<Record<string, unknown>> {
  const { usage } = terminal;
  if (terminal.type === 'run.completed') return { finishReason: terminal.finishReason, usage };
  if (terminal.type === 'run.failed') return { error: terminal.error.code, usage };
  return { reason: terminal.reason, usage };
}
