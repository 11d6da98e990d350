// Threads, states and runs in the shapes of the LangGraph API. Pure. A thread is a session, and a checkpoint has the id
// of the run whose answer it is behind.
import type { JsonObject, RunError } from '../../session/events/chat-event.ts';
import { interruptOf, type AskedInput } from './interrupts.ts';

export type RunStatus = 'pending' | 'running' | 'success' | 'error' | 'interrupted';

export const RUN_STATUSES = {
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
  readonly state: keyof typeof RUN_STATUSES;
  readonly queuedAt: string;
  readonly attempts: readonly { readonly startedAt: string }[];
  readonly endedAt?: string;
}

export type RunResource = JsonObject & { readonly status: RunStatus };

/** A leg of a run, with its id and status. */
export function runResource(
  threadId: string,
  run: RunFacts,
  { id, status }: { readonly id: string; readonly status: RunStatus },
): RunResource {
  return {
    run_id: id,
    thread_id: threadId,
    assistant_id: run.agent,
    created_at: run.queuedAt,
    updated_at: run.endedAt ?? run.attempts.at(-1)?.startedAt ?? run.queuedAt,
    status,
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
  /** What the run at the head asks for. */
  readonly asked: readonly AskedInput[];
  /** Of the last run. */
  readonly error: RunError | undefined;
  readonly lastRunId: string | undefined;
  readonly messages: readonly JsonObject[];
}

export function threadResource(thread: ThreadFacts): JsonObject {
  const { threadId, createdAt, updatedAt, metadata, isBusy, asked, error, lastRunId, messages } = thread;
  const isAsking = asked.length > 0;
  return {
    thread_id: threadId,
    created_at: createdAt,
    updated_at: updatedAt,
    state_updated_at: updatedAt,
    metadata,
    status: isAsking ? 'interrupted' : isBusy ? 'busy' : error === undefined ? 'idle' : 'error',
    values: { messages, ...interruptFields(asked) },
    interrupts: isAsking ? { [lastRunId ?? '']: asked.map(interruptOf) } : {},
    config: {},
    error: isBusy || error === undefined ? null : errorFields(error),
  };
}

/** `next` is empty where no run is queued or active. `parentRunId`: of the state before, where it is known. */
export function stateResource(thread: ThreadFacts, parentRunId?: string): JsonObject {
  const { threadId, updatedAt, isBusy, asked, error, lastRunId, messages } = thread;
  const checkpointOf = (runId: string | null): JsonObject => ({
    thread_id: threadId,
    checkpoint_ns: '',
    checkpoint_id: runId,
    checkpoint_map: null,
  });
  const isFailed = !isBusy && error !== undefined;
  const interrupts = asked.map(interruptOf);
  return {
    values: { messages, ...interruptFields(asked) },
    next: isBusy ? [NODE] : [],
    checkpoint: checkpointOf(lastRunId ?? null),
    metadata: {},
    created_at: updatedAt,
    parent_checkpoint: parentRunId === undefined ? null : checkpointOf(parentRunId),
    tasks:
      isFailed || interrupts.length > 0
        ? [
            {
              id: lastRunId ?? '',
              name: NODE,
              error: isFailed ? error.message : null,
              interrupts,
              checkpoint: null,
              state: null,
            },
          ]
        : [],
  };
}

/** In the values of a thread whose run waits. */
export function interruptFields(asked: readonly AskedInput[]): JsonObject {
  return asked.length === 0 ? {} : { __interrupt__: asked.map(interruptOf) };
}

/** The one node of the graph that clients see. */
export const NODE = 'agent';

/** As in an `error` event, and in the values of a run that has failed. */
export function errorFields({ code, message }: Pick<RunError, 'code' | 'message'>): JsonObject {
  return { error: code, message };
}
