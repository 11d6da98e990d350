// The contract of a model provider: takes a conversation, yields a stream of events, and can be stopped at any moment.
// Providers know HTTP, a script or an agent's own code; they never write to a log.
import type { ToolCall } from '../session/events/chat-event.ts';
import type { InputKind } from '../session/events/wait-events.ts';
import type { RunOptions } from '../session/events/run-options.ts';
import type { NewWait } from '../session/waits/new-wait.ts';
import type { RunRef } from '../session/subagent-session.ts';

export type ContentPart =
  { readonly type: 'text'; readonly text: string } | { readonly type: string; readonly [field: string]: unknown };

export interface ModelMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  /** Text, or OpenAI-style content parts, passed through unchanged. May be empty beside `toolCalls`. */
  readonly content: string | readonly ContentPart[];
  /** Of the role `assistant`: each call has a `tool` message behind it. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of the role `tool`: the call whose result this is. */
  readonly toolCallId?: string;
}

export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export type FinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter' | 'other';

/** The answer to an input, by its kind: an approval has `approved`, a question `value`, a tool `result`. A question
 *  or a tool that the human declines has `error`. */
export interface HumanAnswer {
  readonly kind: InputKind;
  readonly approved?: boolean;
  /** Why an approval was given or refused. */
  readonly reason?: string;
  readonly value?: unknown;
  readonly result?: unknown;
  readonly error?: string;
  /** The user who answered. Absent where nobody did. */
  readonly by?: string;
  /** No answer came in time: an approval counts as refused, a tool as failed, and a question has no value. */
  readonly isExpired?: true;
}

/** The legs of a run before the one that is written now. */
export interface EarlierLegs {
  /** The leg that is written now, from 1. */
  readonly leg: number;
  /** What those legs said, their calls, and the results and answers: the last messages of the request. */
  readonly messages: readonly ModelMessage[];
  /** The ids of their calls. */
  readonly calls: readonly string[];
  /** All answers, by the id of the input. */
  readonly answers: ReadonlyMap<string, HumanAnswer>;
}

/** A stream is any number of deltas, at most one usage, and exactly one finish or wait, which ends it. Where a stream
 *  ends without one, the provider throws: a cut stream must not pass for a completed answer. */
export type ProviderEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  /** `index` numbers the tool calls of one answer; `id`, `name` and `executor` come with the first delta of a call. */
  | {
      readonly type: 'tool-call';
      readonly index: number;
      readonly id?: string;
      readonly name?: string;
      /** Who executes the call. Default: as `executesTools` says. */
      readonly executor?: 'agent' | 'client';
      readonly argumentsText: string;
    }
  /** The outcome of the call with this id. `result` is any JSON, at most TOOL_RESULT_CHARS_MAX of it. It must not
   *  change later: the writer encodes it when the log is ready for it. */
  | { readonly type: 'tool-result'; readonly toolCallId: string; readonly result?: unknown; readonly error?: string }
  | { readonly type: 'usage'; readonly usage: Usage }
  | { readonly type: 'finish'; readonly reason: FinishReason }
  /** The run waits for all of these, and is resumed as another leg. */
  | ({ readonly type: 'wait' } & NewWait);

export interface ProviderRequest {
  /** The run that this answers, for agents that ask other agents. */
  readonly run: RunRef & { readonly attempt: number };
  readonly model: string;
  readonly messages: readonly ModelMessage[];
  /** Of a run that waited for a human. Absent in its first leg. */
  readonly earlier?: EarlierLegs;
  /** The options of the prompt. Their instructions are in the messages. */
  readonly options?: RunOptions;
  /** Answer text that the log already holds. Only a provider that can continue receives it; its stream is the text
   *  that follows. */
  readonly prefix?: string;
  /** Aborting closes the upstream connection at once. The iterator then ends or throws; the worker accepts both. */
  readonly signal: AbortSignal;
}

export interface Provider {
  /** Whether it can continue from `prefix` so that prefix + stream is one seamless answer. */
  readonly canContinue: boolean;
  /** It executes the tool calls in its stream itself. Default: the client executes them. */
  readonly executesTools?: boolean;
  /** @throws ProviderError (from the iterator) */
  stream(request: ProviderRequest): AsyncIterable<ProviderEvent>;
}

/** For each code: whether a new run of the same prompt may succeed. `run.failed` carries these codes. */
const PROVIDER_ERRORS = {
  'upstream-unreachable': true,
  'upstream-timeout': true,
  'upstream-rate-limited': true,
  /** The account at the model server has no quota left: a retry fails until somebody pays. */
  'upstream-quota-spent': false,
  'upstream-error': true,
  /** The server refused the request itself: 4xx other than 408, 409, 429. */
  'upstream-refused': false,
  /** The stream ended or broke before its finish. */
  'upstream-truncated': true,
  /** The bytes do not follow the protocol. */
  'upstream-malformed': true,
  /** One event or one answer is over a limit of ours. */
  'upstream-too-large': false,
} as const satisfies Record<string, boolean>;

export type ProviderErrorCode = keyof typeof PROVIDER_ERRORS;

export interface ProviderErrorOptions extends ErrorOptions {
  /** For the log only: an HTTP status or a system error code. */
  readonly detail?: string | undefined;
}

/** Users see the message and the log has it; only the log has `detail`. Neither contains prompt or answer text, keys
 *  or URLs. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  readonly code: ProviderErrorCode;
  readonly retryable: boolean;
  readonly detail: string | undefined;

  constructor(code: ProviderErrorCode, message: string, { detail, ...options }: ProviderErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.detail = detail;
    this.retryable = PROVIDER_ERRORS[code];
  }
}
