// The wait of a run whose model calls tools of the client, for an agent that waits for their results. Pure.
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import { WAIT_INPUTS_MAX, type NewWait } from '../../session/waits/new-wait.ts';
import { AgentError } from '../agent-error.ts';

/** One input for each call of the leg that is written now. Undefined where there is no call, or one that no result
 *  could name: the run completes then, and the results come with the next prompt. @throws AgentError too-many-calls */
export function clientCallsWait(answer: AnswerBuilder): NewWait | undefined {
  const calls = answer
    .parts()
    .slice(answer.legStart)
    .filter(({ kind }) => kind === 'tool-call');
  const inputs = calls.flatMap(({ toolCallId, toolName }) =>
    toolCallId === undefined || toolName === undefined
      ? []
      : [{ key: toolCallId, kind: 'tool' as const, toolCallId, toolName }],
  );
  const ids = new Set(inputs.map(({ key }) => key));
  if (inputs.length === 0 || ids.size < calls.length) return undefined;
  if (inputs.length > WAIT_INPUTS_MAX)
    throw new AgentError('too-many-calls', `a run waits for the results of at most ${WAIT_INPUTS_MAX} calls at a time`);
  return { inputs };
}
