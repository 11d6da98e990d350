// The messages between a worker and the thread of an agent's module, and the encoding of errors in them.
import type { NewWait } from '../../session/waits/new-wait.ts';
import { AgentError, isAgentError } from '../../worker/agent-error.ts';
import type { ProviderEvent, Usage } from '../../worker/provider.ts';
import type { AgentChat } from '../agent-handler.ts';

/** The start parameters of a thread. */
export interface ThreadData {
  /** The URL of the module, which exports a function `agent`. */
  readonly module: string;
}

export type ChatData = Omit<AgentChat, 'ask' | 'answer'>;

/** `known`: the number of an error that the worker holds. */
export interface ErrorData {
  readonly known?: number;
  readonly agentError?: { readonly code: string; readonly retryable: boolean };
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly cause?: unknown;
}

/** A call of a handler to its worker. `id`: of an ask, or of a reader of one. */
export type CallData =
  | { readonly what: 'ask'; readonly agent: string; readonly prompt: unknown; readonly options?: unknown }
  | { readonly what: 'answer' | 'cancel' | 'read' | 'next' | 'stop-reading'; readonly id: number };

export type ToThread =
  | { readonly type: 'start'; readonly run: number; readonly chat: ChatData }
  | { readonly type: 'abort'; readonly run: number }
  /** The worker has taken this many UTF-16 code units. */
  | { readonly type: 'room'; readonly run: number; readonly chars: number }
  | {
      readonly type: 'reply';
      readonly run: number;
      readonly call: number;
      readonly value?: unknown;
      readonly error?: ErrorData;
    };

export type FromThread =
  | { readonly type: 'ready' }
  | { readonly type: 'event'; readonly run: number; readonly event: ProviderEvent; readonly chars: number }
  | { readonly type: 'call'; readonly run: number; readonly call: number; readonly data: CallData }
  /** Acknowledges an abort: the event loop of the thread turns. */
  | { readonly type: 'aborting'; readonly run: number }
  | { readonly type: 'stray'; readonly run: number; readonly error: ErrorData }
  | {
      readonly type: 'end';
      readonly run: number;
      readonly used?: Usage;
      /** What the handler asks a human. */
      readonly wait?: NewWait;
      readonly error?: ErrorData;
    };

/** Never throws, and the result can be cloned, whatever an agent threw: a run whose end cannot be sent never ends. */
export function encodeError(thrown: unknown, known?: number): ErrorData {
  const error = thrown instanceof Error ? thrown : new Error(`an agent threw a ${typeof thrown}`);
  const { name, message, stack, cause } = error;
  return {
    name: textOr('Error', name),
    message: textOr('', message),
    stack: textOr('', stack),
    ...(known === undefined ? {} : { known }),
    ...(isAgentError(error) ? { agentError: { code: error.code, retryable: error.retryable } } : {}),
    // A cause in plain data, such as the reason why an ask failed.
    ...(typeof cause === 'object' && !(cause instanceof Error) ? { cause: toJsonOrNothing(cause) } : {}),
  };
}

/** Code may set the fields of an error to anything. */
function textOr(fallback: string, field: unknown): string {
  return typeof field === 'string' ? field : fallback;
}

export function decodeError({ name, message, stack, agentError, cause }: ErrorData): Error {
  const options = cause === undefined ? {} : { cause };
  if (agentError !== undefined)
    return new AgentError(agentError.code, message, { retryable: agentError.retryable, ...options });
  const error = new Error(message, options);
  Object.defineProperty(error, 'name', { value: name, configurable: true });
  error.stack = stack;
  return error;
}

/** The value after a round trip through JSON: a thread cannot send functions or classes. @throws TypeError for a value
 *  that JSON cannot represent */
export function toJson(value: unknown): unknown {
  const json = JSON.stringify(value) as string | undefined;
  return json === undefined ? undefined : JSON.parse(json);
}

/** Undefined also for a value that JSON cannot represent. */
function toJsonOrNothing(value: unknown): unknown {
  try {
    return toJson(value);
  } catch {
    return undefined;
  }
}
