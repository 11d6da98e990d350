// An ask is of no use once the run that asked is over, whoever ended it and whether its worker lives: the worker of the ask
// looks at the asker's chat itself, and stops the ask as the asker would. So a Stop goes down from run to run through the log.
import type { Broker } from '../../broker/broker.ts';
import type { Clock } from '../../base/clock.ts';
import { askDepth, askerOf, askerPrincipal, type RunRef } from '../../session/subagent-session.ts';
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
  /** The asker cannot be watched: its ask goes on unwatched. */
  readonly onError: (error: unknown) => void;
}

/** Does it, and stops this run meanwhile if it is an ask whose asker has ended; before it begins, where that is so already. */
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
  return loaded === undefined ? undefined : askerOf(ref, loaded.state.owner);
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

/** Or until the signal aborts. */
async function untilOver({ broker, log }: ParentRunWatchDeps, parent: RunRef, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const seen = await log.load(parent);
    if (seen === undefined || isOver(seen, parent)) return;
    // Whatever happens next there, an end of that chat too, is reason to look again.
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
    await runs.cancel(askerPrincipal(parent), ref, runId, 'asker ended');
  } catch (error) {
    // It has ended by itself, or its chat is gone: which comes to the same.
    if (!isSessionError(error, 'no-active-run') && !isSessionError(error, 'not-found')) throw error;
  }
}
