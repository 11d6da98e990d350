// Threads, states and runs in the shapes of the LangGraph API. Pure. A thread is a session, and a checkpoint has the id
// of the run whose answer it is behind.
import type { JsonObject, RunError } from '../../session/events/chat-event.ts';

export type RunStatus = 'pending' | 'running' | 'success' | 'error' | 'interrupted';

const STATUSES = {
  queued: 'pending',
  running: 'running',
  waiting: 'interrupted',
  cancelling: 'running',
  completed: 'success',
  failed: 'error',
  cancelled: 'interrupted',
} as const;

export interface RunFacts {
  readonly runId: string;
  readonly agent: string;
  readonly state: keyof typeof STATUSES;
  readonly queuedAt: string;
  readonly attempts: readonly { readonly startedAt: string }[];
  readonly endedAt?: string;
}

export function runResource(threadId: string, run: RunFacts): JsonObject & { readonly status: RunStatus } {
  return {
    run_id: run.runId,
    thread_id: threadId,
    assistant_id: run.agent,
    created_at: run.queuedAt,
    updated_at: run.endedAt ?? run.attempts.at(-1)?.startedAt ?? run.queuedAt,
    status: STATUSES[run.state],
    metadata: {},
    kwargs: {},
    multitask_strategy: 'enqueue',
  };
}

export interface ThreadFacts {
  readonly threadId: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly metadata: JsonObject;
  readonly isBusy: boolean;
  /** Of the last run. */
  readonly error: RunError | undefined;
  readonly lastRunId: string | undefined;
  readonly messages: readonly JsonObject[];
}

export function threadResource(thread: ThreadFacts): JsonObject {
  const { threadId, createdAt, updatedAt, metadata, isBusy, error, messages } = thread;
  return {
    thread_id: threadId,
    created_at: createdAt,
    updated_at: updatedAt,
    state_updated_at: updatedAt,
    metadata,
    status: isBusy ? 'busy' : error === undefined ? 'idle' : 'error',
    values: { messages },
    interrupts: {},
    config: {},
    error: isBusy || error === undefined ? null : errorFields(error),
  };
}

/** `next` is empty where no run is queued or active. `parentRunId`: of the state before, where it is known. */
export function stateResource(thread: ThreadFacts, parentRunId?: string): JsonObject {
  const { threadId, updatedAt, isBusy, error, lastRunId, messages } = thread;
  const checkpointOf = (runId: string | null): JsonObject => ({
    thread_id: threadId,
    checkpoint_ns: '',
    checkpoint_id: runId,
    checkpoint_map: null,
  });
  const isFailed = !isBusy && error !== undefined;
  return {
    values: { messages },
    next: isBusy ? [NODE] : [],
    checkpoint: checkpointOf(lastRunId ?? null),
    metadata: {},
    created_at: updatedAt,
    parent_checkpoint: parentRunId === undefined ? null : checkpointOf(parentRunId),
    tasks: isFailed
      ? [{ id: lastRunId ?? '', name: NODE, error: error.message, interrupts: [], checkpoint: null, state: null }]
      : [],
  };
}

/** The one node of the graph that clients see. */
export const NODE = 'agent';

/** As in an `error` event, and in the values of a run that has failed. */
export function errorFields({ code, message }: Pick<RunError, 'code' | 'message'>): JsonObject {
  return { error: code, message };
}
