// The timelines of a chat's runs: a fold over the major records of its log, total and without I/O. It needs only the
// times in the events, a handful for each run.
import type { ChatEvent, RunError, RunTerminal, RunUsage } from '../events/chat-event.ts';
import type { RunTimes } from '../commands/command-state.ts';
import { runFigures, type RunFigures } from '../commands/run-figures.ts';

export interface RunTimeline extends RunFigures {
  readonly runId: string;
  /** Of the prompt. */
  readonly messageId: string;
  readonly agent: string;
  readonly model: string;
  readonly state: 'queued' | 'running' | 'waiting' | 'cancelling' | 'completed' | 'failed' | 'cancelled';
  readonly queuedAt: string;
  /** Each start. Every one after the first is a takeover. */
  readonly attempts: readonly RunAttempt[];
  readonly cancellingAt?: string;
  /** Of the last attempt, once the run has ended. */
  readonly firstTokenAt?: string;
  readonly deltas?: number;
  readonly endedAt?: string;
  readonly finishReason?: string;
  readonly usage?: RunUsage;
  readonly error?: RunError;
}

export interface RunAttempt {
  readonly attempt: number;
  readonly startedAt: string;
}

interface FoldingRun {
  readonly queued: Extract<ChatEvent, { type: 'run.queued' }>;
  readonly attempts: RunAttempt[];
  cancellingAt?: string;
  /** The inputs of its last wait that are open. With none it is queued again. Undefined: it is not behind a wait. */
  open?: Set<string> | undefined;
  terminal?: RunTerminal;
}

export class RunTimelines {
  readonly #runs = new Map<string, FoldingRun>();

  /** Events in log order. Ignores a run whose `run.queued` was not among them. */
  apply(event: ChatEvent): void {
    if (event.type === 'run.queued') this.#runs.set(event.runId, { queued: event, attempts: [] });
    const run = 'runId' in event ? this.#runs.get(event.runId) : undefined;
    if (run !== undefined) foldRun(run, event);
  }

  /** In the order in which they were queued. */
  list(): RunTimeline[] {
    return [...this.#runs.values()].map(timelineOf);
  }
}

function foldRun(run: FoldingRun, event: ChatEvent): void {
  switch (event.type) {
    case 'run.started':
    case 'run.restarted':
      run.attempts.push({ attempt: event.attempt, startedAt: event.createdAt });
      return;
    case 'run.waiting':
      run.open = new Set(event.inputs);
      return;
    case 'input.answered':
    case 'input.closed':
      run.open?.delete(event.inputId);
      return;
    case 'run.resumed':
      run.open = undefined;
      return;
    case 'run.cancelling':
      run.cancellingAt ??= event.createdAt;
      return;
    case 'run.completed':
    case 'run.failed':
    case 'run.cancelled':
      run.terminal = event;
      return;
    default:
      return;
  }
}

function timelineOf({ queued, attempts, cancellingAt, open, terminal }: FoldingRun): RunTimeline {
  const { runId, messageId, agent, model, createdAt: queuedAt } = queued;
  const times: RunTimes = {
    queued: queuedAt,
    started: attempts[0]?.startedAt ?? null,
    cancelling: cancellingAt ?? null,
  };
  return {
    runId,
    messageId,
    agent,
    model,
    state:
      terminal === undefined && open !== undefined
        ? stateBehindWait(open)
        : stateOf(attempts.length, cancellingAt, terminal),
    queuedAt,
    attempts,
    ...(cancellingAt === undefined ? {} : { cancellingAt }),
    ...(terminal === undefined ? {} : endOf(terminal)),
    ...runFigures(times, attempts.length, terminal),
  };
}

function stateBehindWait(open: ReadonlySet<string>): RunTimeline['state'] {
  return open.size > 0 ? 'waiting' : 'queued';
}

function stateOf(
  attempts: number,
  cancellingAt: string | undefined,
  terminal: RunTerminal | undefined,
): RunTimeline['state'] {
  switch (terminal?.type) {
    case 'run.completed':
      return 'completed';
    case 'run.failed':
      return 'failed';
    case 'run.cancelled':
      return 'cancelled';
    case undefined:
      return cancellingAt !== undefined ? 'cancelling' : attempts > 0 ? 'running' : 'queued';
  }
}

function endOf(terminal: RunTerminal): Partial<RunTimeline> {
  const { endedAt, firstTokenAt, deltas, usage } = terminal;
  return {
    endedAt,
    ...(firstTokenAt === undefined ? {} : { firstTokenAt }),
    ...(deltas === undefined ? {} : { deltas }),
    ...(usage === undefined ? {} : { usage }),
    ...(terminal.type === 'run.completed' ? { finishReason: terminal.finishReason } : {}),
    ...(terminal.type === 'run.failed' ? { error: terminal.error } : {}),
  };
}
