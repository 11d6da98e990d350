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
  /** Each wait for inputs, oldest first. Absent: the run did not wait. */
  readonly waits?: readonly RunWaitTimes[];
  readonly cancellingAt?: string;
  /** Of the last attempt, once the run has ended. */
  readonly firstTokenAt?: string;
  readonly deltas?: number;
  readonly endedAt?: string;
  readonly finishReason?: string;
  readonly usage?: RunUsage;
  readonly error?: RunError;
}

/** `resumedAt` is absent until a worker continues the run. */
export interface RunWaitTimes {
  readonly inputs: readonly string[];
  readonly waitingAt: string;
  readonly expiresAt: string;
  readonly resumedAt?: string;
}

export interface RunAttempt {
  readonly attempt: number;
  readonly startedAt: string;
}

interface FoldingRun {
  readonly queued: Extract<ChatEvent, { type: 'run.queued' }>;
  readonly attempts: RunAttempt[];
  readonly waits: RunWaitTimes[];
  /** Inputs that are neither answered nor closed. */
  readonly open: Set<string>;
  cancellingAt?: string;
  terminal?: RunTerminal;
}

export class RunTimelines {
  readonly #runs = new Map<string, FoldingRun>();

  /** Events in log order. Ignores a run whose `run.queued` was not among them. */
  apply(event: ChatEvent): void {
    if (event.type === 'run.queued')
      this.#runs.set(event.runId, { queued: event, attempts: [], waits: [], open: new Set() });
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
      run.waits.push({ inputs: event.inputs, waitingAt: event.createdAt, expiresAt: event.expiresAt });
      for (const inputId of event.inputs) run.open.add(inputId);
      return;
    case 'input.answered':
    case 'input.closed':
      run.open.delete(event.inputId);
      return;
    case 'run.resumed':
      run.attempts.push({ attempt: event.attempt, startedAt: event.createdAt });
      resumeLast(run.waits, event.createdAt);
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

function resumeLast(waits: RunWaitTimes[], resumedAt: string): void {
  const last = waits.pop();
  if (last !== undefined) waits.push({ ...last, resumedAt });
}

function timelineOf(run: FoldingRun): RunTimeline {
  const { queued, attempts, waits, cancellingAt, terminal } = run;
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
    state: stateOf(run),
    queuedAt,
    attempts,
    ...(waits.length === 0 ? {} : { waits }),
    ...(cancellingAt === undefined ? {} : { cancellingAt }),
    ...(terminal === undefined ? {} : endOf(terminal)),
    ...runFigures(times, attempts.length, terminal),
  };
}

function stateOf({ attempts, waits, open, cancellingAt, terminal }: FoldingRun): RunTimeline['state'] {
  switch (terminal?.type) {
    case 'run.completed':
      return 'completed';
    case 'run.failed':
      return 'failed';
    case 'run.cancelled':
      return 'cancelled';
    case undefined:
      if (cancellingAt !== undefined) return 'cancelling';
      if (open.size > 0) return 'waiting';
      return attempts.length > 0 && !isQueuedAgain(waits) ? 'running' : 'queued';
  }
}

/** Its inputs are settled, and no worker has continued it. */
function isQueuedAgain(waits: readonly RunWaitTimes[]): boolean {
  const last = waits.at(-1);
  return last !== undefined && last.resumedAt === undefined;
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
