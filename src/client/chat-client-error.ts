// The error that calls of this SDK reject with. Match on `code`, never on the text: it is the server's stable code
// [PROTOCOL §1] or one of the client's own.

/** `network`: no answer came. `timeout`: none came in time. `unauthorized`: the server takes no token of this client.
 *  `not-holdline`: another server answered, such as a hotel's log-in page. `closed`: this client closed the chat. */
export type OwnErrorCode = 'network' | 'timeout' | 'unauthorized' | 'not-holdline' | 'closed';

export interface ChatClientErrorDetails {
  /** HTTP status, if there was an answer. */
  readonly status?: number;
  readonly retryable?: boolean;
  /** The server asked to wait this long. */
  readonly retryAfterMs?: number;
  readonly details?: unknown;
  readonly cause?: unknown;
}

export class ChatClientError extends Error {
  override readonly name = 'ChatClientError';
  readonly code: string;
  readonly status: number | undefined;
  /** Whether the same call may succeed later without any other change. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly details: unknown;

  constructor(code: string, message: string, more: ChatClientErrorDetails = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.status = more.status;
    this.retryable = more.retryable ?? false;
    this.retryAfterMs = more.retryAfterMs;
    this.details = more.details;
  }
}

export function ownError(code: OwnErrorCode, message: string, more: ChatClientErrorDetails = {}): ChatClientError {
  return new ChatClientError(code, message, more);
}
