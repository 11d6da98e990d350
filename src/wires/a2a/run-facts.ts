// The facts of a task from the fold of its run.
import type { RunView } from '../../stream/run/run-view.ts';
import type { RunFacts } from './task.ts';

export function factsOfView(view: RunView): RunFacts {
  const { state, agent, model, createdAt, startedAt, endedAt, error, finishReason, usage } = view;
  return { state, agent, model, changedAt: endedAt ?? startedAt ?? createdAt, error, finishReason, usage };
}
