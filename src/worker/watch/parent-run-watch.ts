// Stops a subagent run when its parent run has ended: nobody needs its answer any more. The worker of the subagent run
// reads the parent's chat itself, because the parent's worker may be dead. So a cancel command spreads from run to run
// through the log.
import type { Broker } from '../../broker/broker.ts';
import type { Clock } from '../../base/clock.ts';
import { askDepth, parentRunOf, parentPrincipal, type RunRef } from '../../session/subagent-session.ts';
import type { CommandLog, LoadedState } from '../../session/commands/command-log.ts';
import { findRun } from '../../session/commands/command-state.ts';
import { isSessionError } from '../../session/errors.ts';
import type { Runs } from '../../session/runs.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { chatTopic } from '../../session/topic-names.ts';
import { persist } from '../persist.ts';

export interface ParentRunWatchDeps {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly runs: Runs;
  readonly clock: Clock;
  /** The parent run cannot be watched; the subagent run continues unwatched. */
  readonly onError: (error: unknown) => void;
}

/** Calls `serve`, and cancels the run meanwhile if it is a subagent run whose parent run ends; at once where it has
 *  already ended. */
export async function whileParentRuns<T>(
  deps: ParentRunWatchDeps,
  ref: SessionRef,
  runId: string,
  serve: () => Promise<T>,
): Promise<T> {
  const parent = await findParentRun(deps.log, ref);
  if (parent === undefined) return serve();
  const seen = await deps.log.load(parent);
  if (seen === undefined || isOver(seen, parent)) await stop(deps.runs, parent, ref, runId);
  const served = new AbortController();
  const watching = watch(deps, parent, ref, runId, served.signal);
  try {
    return await serve();
  } finally {
    served.abort();
    await watching;
  }
}

async function findParentRun(log: CommandLog, ref: SessionRef): Promise<RunRef | undefined> {
  if (askDepth(ref.sessionId) === 0) return undefined;
  const loaded = await log.load(ref);
  return loaded === undefined ? undefined : parentRunOf(ref, loaded.state.owner);
}

/** Never rejects. */
async function watch(
  deps: ParentRunWatchDeps,
  parent: RunRef,
  ref: SessionRef,
  runId: string,
  signal: AbortSignal,
): Promise<void> {
  const { clock, runs, onError } = deps;
  try {
    await persist(clock, signal, () => untilOver(deps, parent, signal));
    if (!signal.aborted) await persist(clock, signal, () => stop(runs, parent, ref, runId));
  } catch (error) {
    if (!signal.aborted) onError(error);
  }
}

/** Resolves when the parent run is over, or the signal aborts. */
async function untilOver({ broker, log }: ParentRunWatchDeps, parent: RunRef, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const seen = await log.load(parent);
    if (seen === undefined || isOver(seen, parent)) return;
    // Any major record, or an end of the parent's chat, is a reason to load its state again.
    for await (const change of broker.tail(
      chatTopic(parent),
      { epoch: seen.epoch, offset: seen.at + 1 },
      { signal, majorOnly: true },
    )) {
      if (change.kind !== 'batch' || change.items.length > 0) break;
    }
  }
}

function isOver({ state }: LoadedState, parent: RunRef): boolean {
  const run = findRun(state, parent.runId);
  return run === undefined || run.state === 'cancelling';
}

async function stop(runs: Runs, parent: RunRef, ref: SessionRef, runId: string): Promise<void> {
  try {
    await runs.cancel(parentPrincipal(parent), ref, runId, 'asker ended');
  } catch (error) {
    // The subagent run has ended by itself, or its chat is gone: the effect is the same.
    if (!isSessionError(error, 'no-active-run') && !isSessionError(error, 'not-found')) throw error;
  }
}
