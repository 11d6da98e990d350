// What a model is to Holdline: a conversation in, a stream of events out, stoppable at any moment.
// Providers know HTTP, a script or an agent's own code; they never write a log.
import type { RunRef } from '../session/subagent-session.ts';

export type ContentPart =
  { readonly type: 'text'; readonly text: string } | { readonly type: string; readonly [field: string]: unknown };

export interface ModelMessage {
  readonly role: 'system' | 'user' | 'assistant';
  /** Text, or OpenAI-style content parts, handed on as they came. */
  readonly content: string | readonly ContentPart[];
}

export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export type FinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter' | 'other';

/** A stream is any number of deltas, at most one usage, and exactly one finish, which ends it. A stream that
 *  ends without `finish` was cut: the provider throws, it never pretends a completion. */
export type ProviderEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  /** `index` numbers the calls of one answer; `id` and `name` come with a call's first delta. */
  | {
      readonly type: 'tool-call';
      readonly index: number;
      readonly id?: string;
      readonly name?: string;
      readonly argumentsText: string;
    }
  /** What became of a call with that id: `result` is any JSON, at most TOOL_RESULT_CHARS_MAX of it. */
  | { readonly type: 'tool-result'; readonly toolCallId: string; readonly result?: unknown; readonly error?: string }
  | { readonly type: 'usage'; readonly usage: Usage }
  | { readonly type: 'finish'; readonly reason: FinishReason };

export interface ProviderRequest {
  /** Whose answer it is, for agents that ask others. */
  readonly run: RunRef & { readonly attempt: number };
  readonly model: string;
  readonly messages: readonly ModelMessage[];
  /** Answer text that already stands. Only given to providers that can continue: they stream what follows it. */
  readonly prefix?: string;
  /** Aborting closes the upstream connection at once; the iterator then ends or throws, either is fine. */
  readonly signal: AbortSignal;
}

export interface Provider {
  /** Can it go on from `prefix` so that prefix + stream is one seamless answer? */
  readonly canContinue: boolean;
  /** @throws ProviderError (from the iterator) */
  stream(request: ProviderRequest): AsyncIterable<ProviderEvent>;
}

/** code → is a new run of the same prompt worth a try? These codes stand in `run.failed`. */
const PROVIDER_ERRORS = {
  'upstream-unreachable': true,
  'upstream-timeout': true,
  'upstream-rate-limited': true,
  /** What was paid for is used up: asking again changes nothing before somebody pays. */
  'upstream-quota-spent': false,
  'upstream-error': true,
  /** It refused the request itself: 4xx other than 408, 409, 429. */
  'upstream-refused': false,
  /** The stream ended, or broke, before its finish. */
  'upstream-truncated': true,
  /** Bytes that are not the protocol. */
  'upstream-malformed': true,
  /** A limit of ours: one event or one answer too large. */
  'upstream-too-large': false,
} as const satisfies Record<string, boolean>;

export type ProviderErrorCode = keyof typeof PROVIDER_ERRORS;

export interface ProviderErrorOptions extends ErrorOptions {
  /** For the log: a status of HTTP, a code of the system. */
  readonly detail?: string | undefined;
}

/** The message is shown to users and logged, `detail` is logged: neither carries prompt or answer text, keys or URLs. */
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
