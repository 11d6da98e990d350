// The tracing span of one attempt at a run. The span of the first attempt starts with the prompt, so that it includes
// the time in the queue; the span of a takeover starts when its worker has the fence. All are children of the prompt's
// span, on whichever nodes the attempts run.
import type { Clock } from '../../base/clock.ts';
import type { RunTerminal } from '../../session/events/chat-event.ts';
import type { RunInfo } from '../../session/commands/command-state.ts';
import { runFigures } from '../../session/commands/run-figures.ts';
import { sessionAttributes, traced, type WorkSpan } from '../../base/tracing.ts';
import type { FencedRun } from './take-fence.ts';

export function inRunSpan<Outcome extends string>(
  clock: Clock,
  { ref, run, now }: FencedRun,
  work: (span: WorkSpan) => Promise<Outcome>,
): Promise<Outcome> {
  const begunAt = Date.parse(now());
  const startedAt = run.attempt > 1 ? begunAt : Date.parse(run.times.queued);
  const attributes = {
    ...sessionAttributes(ref),
    'holdline.run.id': run.runId,
    'holdline.agent': run.agent,
    'holdline.attempt': run.attempt,
    'gen_ai.request.model': run.model,
  };
  return traced(
    'holdline.run',
    { kind: 'consumer', parent: run.trace, startedAt, begunAt, attributes },
    clock,
    async (span) => {
      const outcome = await work(span);
      span.note({ 'holdline.outcome': outcome });
      return outcome;
    },
  );
}

export function noteEnd(span: WorkSpan, run: RunInfo, terminal: RunTerminal): void {
  const { waitedMs, firstTokenMs } = runFigures(run.times, run.attempt, terminal);
  if (waitedMs !== undefined) span.note({ 'holdline.waited_ms': waitedMs });
  if (firstTokenMs !== undefined) span.note({ 'holdline.first_token_ms': firstTokenMs });
  if (terminal.type === 'run.failed') span.failed(terminal.error.code);
  const { usage } = terminal;
  if (terminal.type === 'run.completed') span.note({ 'gen_ai.response.finish_reasons': [terminal.finishReason] });
  // No usage from the provider: no usage in the span.
  if (usage !== undefined)
    span.note({ 'gen_ai.usage.input_tokens': usage.inputTokens, 'gen_ai.usage.output_tokens': usage.outputTokens });
}
