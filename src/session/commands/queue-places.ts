// How much stands before each run of a session that waits. Pure: one that is not the head has the runs of its own
// session before it, the head those requests of other sessions that its agent's workers will take first.
import type { RunInfo } from './command-state.ts';

/** `beforeHead`: requests before the head's, undefined where that is not known or a worker has it. */
export function queuePlaces(runs: readonly RunInfo[], beforeHead: number | undefined): ReadonlyMap<string, number> {
  const places = new Map<string, number>();
  for (const [i, run] of runs.entries()) {
    if (run.state !== 'queued') continue;
    if (i > 0) places.set(run.runId, i + (beforeHead ?? 0));
    else if (beforeHead !== undefined) places.set(run.runId, beforeHead);
  }
  return places;
}
