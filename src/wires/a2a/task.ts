// A run as a task of A2A: its state, its status, and its text parts as artifacts. [A2A §4.1]
import type { RunError, RunUsage } from '../../session/events/chat-event.ts';
import { encodeRunName, type RunName } from '../run-name.ts';
import { askMessage, type AskedInput } from './input-required.ts';

export const taskStates = [
  'TASK_STATE_SUBMITTED',
  'TASK_STATE_WORKING',
  'TASK_STATE_COMPLETED',
  'TASK_STATE_FAILED',
  'TASK_STATE_CANCELED',
  'TASK_STATE_REJECTED',
  'TASK_STATE_INPUT_REQUIRED',
  'TASK_STATE_AUTH_REQUIRED',
] as const;

export type TaskState = (typeof taskStates)[number];

const STATES = {
  queued: 'TASK_STATE_SUBMITTED',
  running: 'TASK_STATE_WORKING',
  waiting: 'TASK_STATE_INPUT_REQUIRED',
  cancelling: 'TASK_STATE_WORKING',
  completed: 'TASK_STATE_COMPLETED',
  failed: 'TASK_STATE_FAILED',
  cancelled: 'TASK_STATE_CANCELED',
} as const satisfies Record<string, TaskState>;

/** What a task tells of its run. */
export interface RunFacts {
  readonly state: keyof typeof STATES;
  readonly agent?: string | undefined;
  readonly model?: string | undefined;
  /** The time of the last change of the state. ISO 8601. */
  readonly changedAt: string | undefined;
  readonly error?: RunError | undefined;
  /** What a waiting run asks for. */
  readonly asked?: readonly AskedInput[] | undefined;
  readonly finishReason?: string | undefined;
  readonly usage?: RunUsage | undefined;
}

export interface Artifact {
  readonly artifactId: string;
  readonly parts: readonly [{ readonly text: string }];
}

/** What a task has besides its run's facts. Undefined: it is left out. */
export interface TaskExtras {
  readonly artifacts?: readonly Artifact[] | undefined;
  /** The prompt, as a message of A2A. */
  readonly history?: readonly unknown[] | undefined;
}

export function taskState(state: RunFacts['state']): TaskState {
  return STATES[state];
}

export function isEnded(state: RunFacts['state']): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** The artifact of a text part. Its id is the same in every stream. */
export function artifactOf(part: number, text: string): Artifact {
  return { artifactId: artifactId(part), parts: [{ text }] };
}

export function artifactId(part: number): string {
  return `a${part}`;
}

export function taskOfRun(ref: RunName, facts: RunFacts, { artifacts = [], history }: TaskExtras = {}): unknown {
  return {
    id: encodeRunName(ref),
    contextId: ref.sessionId,
    status: statusOf(ref, facts),
    ...(artifacts.length === 0 ? {} : { artifacts }),
    ...(history === undefined ? {} : { history }),
    metadata: metadataOf(facts),
  };
}

/** A `statusUpdate` of a stream. `extra`: metadata of this update alone. */
export function statusUpdate(ref: RunName, facts: RunFacts, extra: object = {}): unknown {
  return {
    taskId: encodeRunName(ref),
    contextId: ref.sessionId,
    status: statusOf(ref, facts),
    metadata: { ...metadataOf(facts), ...extra },
  };
}

function statusOf(ref: RunName, { state, changedAt, error, asked = [] }: RunFacts): unknown {
  return {
    state: STATES[state],
    ...(changedAt === undefined ? {} : { timestamp: changedAt }),
    ...(error === undefined ? {} : { message: errorMessage(ref, error) }),
    ...(state !== 'waiting' || asked.length === 0 ? {} : { message: askMessage(ref, asked) }),
  };
}

function errorMessage(ref: RunName, { code, message }: RunError): unknown {
  return {
    messageId: `${ref.runId}.error`,
    contextId: ref.sessionId,
    taskId: encodeRunName(ref),
    role: 'ROLE_AGENT',
    parts: [{ text: `${message} (${code})` }],
  };
}

function metadataOf({ agent, model, finishReason, usage }: RunFacts): object {
  return {
    ...(agent === undefined ? {} : { agent }),
    ...(model === undefined || model === '' ? {} : { model }),
    ...(finishReason === undefined ? {} : { finishReason }),
    ...(usage === undefined ? {} : { usage }),
  };
}
