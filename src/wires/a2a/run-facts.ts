// The facts of a task from the fold of its run.
import { isSettled } from '../../stream/run/run-inputs.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import type { RunFacts } from './task.ts';

export function factsOfView(view: RunView): RunFacts {
  const { state, agent, model, createdAt, startedAt, endedAt, error, finishReason, usage, inputs } = view;
  const asked = inputs.filter((input) => !isSettled(input)).map(({ request }) => request);
  const changedAt = endedAt ?? (state === 'waiting' ? asked[0]?.createdAt : undefined) ?? startedAt ?? createdAt;
  return { state, agent, model, changedAt, error, finishReason, usage, asked };
}
