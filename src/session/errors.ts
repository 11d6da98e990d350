// The table of all errors of sessions. The gateway maps their codes to HTTP statuses.

const SESSION_ERRORS = {
  'not-found': { retryable: false, message: 'no such session' },
  /** The same messageId was sent before, with another body. */
  'message-conflict': { retryable: false, message: 'this messageId was used for another message' },
  busy: { retryable: true, message: 'a run is active or queued' },
  /** An edit, a withdrawal or an answer would change a prompt that the model has received, or a run that has ended. */
  'not-waiting': {
    retryable: false,
    message: 'this message does not wait any more: its answer has begun, or it was withdrawn',
  },
  'input-not-found': { retryable: false, message: 'no run of this session asked for such an input' },
  /** With who answered, and when. */
  'already-answered': { retryable: false, message: 'this input has another answer' },
  /** With the paths of the faults. */
  'invalid-answer': { retryable: false, message: 'the answer does not fit what was asked for' },
  'too-large': { retryable: false, message: 'the request is too large' },
  'message-not-found': { retryable: false, message: 'no such message in this session' },
  'run-not-found': { retryable: false, message: 'no such run in this session' },
  'session-not-new': {
    retryable: false,
    message: 'this session has messages already, so no history can come before its first prompt',
  },
  'queue-full': { retryable: true, message: 'too many prompts wait in this session' },
  /** A limit of the user. Not retryable: it holds until the user removes a chat. */
  'too-many-sessions': { retryable: false, message: 'this user has as many chats as one user may have: delete one' },
  'too-many-runs': {
    retryable: true,
    message: 'this user has as many runs that have not ended as one user may have: stop one, or wait until one ends',
  },
  /** A limit of the tenant. */
  'too-many-waiting': {
    retryable: true,
    message: 'as many chats of this tenant wait for a worker as may wait: try again when some have been served',
  },
  'attachment-not-found': { retryable: false, message: 'no such attachment in this session' },
  /** Only an upload that no prompt names can be removed by itself. */
  'attachment-in-use': { retryable: false, message: 'a message of this session has this attachment' },
  'too-many-attachments': { retryable: false, message: 'a message has too many attachments' },
  /** The body ended early, or is longer than its declared length. */
  'upload-incomplete': { retryable: true, message: 'the upload has another length than it declared' },
  'digest-mismatch': { retryable: true, message: 'the upload does not match its digest' },
  'too-many-uploads': {
    retryable: true,
    message: 'too many uploads of this session wait for a message: send one, remove one, or wait',
  },
  'session-storage-full': {
    retryable: false,
    message: 'this session holds as many bytes of attachments as one session may have',
  },
  /** An operator has paused as many agents, tenants and chats as may be. */
  'too-many-pauses': { retryable: false, message: 'as many things are paused as may be: resume one' },
  'no-active-run': { retryable: false, message: 'no such run is active or queued' },
  /** Every record with a state of the chat is lost, its owner included, so nothing can be decided about it. */
  'chat-damaged': { retryable: false, message: 'the state of this chat is lost in the storage' },
  /** A stored offset of another epoch, beyond the head, or moving backward. */
  'cursor-conflict': { retryable: false, message: 'the position does not move this cursor forward' },
  /** Other nodes changed the session at every try. Nothing was written. */
  contended: { retryable: true, message: 'the session is changing too fast, try again' },
} as const satisfies Record<string, { retryable: boolean; message: string }>;

export type SessionErrorCode = keyof typeof SESSION_ERRORS;

export interface SessionErrorOptions extends ErrorOptions {
  /** The limit that was reached. */
  readonly limit?: number;
  /** What the limit is on, and how many there are, where it is not one of the user's own. */
  readonly reached?: { readonly quota: 'waiting'; readonly used: number };
  /** Sent to the caller to help find the fault. */
  readonly details?: unknown;
  /** The input whose answer is refused, as the caller named it. */
  readonly inputId?: string;
  /** Sent to the caller in place of the code's own message. It never repeats what the caller sent. */
  readonly message?: string;
}

export class SessionError extends Error {
  override readonly name = 'SessionError';
  readonly code: SessionErrorCode;
  readonly retryable: boolean;
  readonly limit: number | undefined;
  readonly reached: SessionErrorOptions['reached'];

  readonly details: unknown;
  readonly inputId: string | undefined;

  constructor(
    code: SessionErrorCode,
    { limit, reached, details, inputId, message, ...options }: SessionErrorOptions = {},
  ) {
    super(message ?? SESSION_ERRORS[code].message, options);
    this.details = details;
    this.inputId = inputId;
    this.limit = limit;
    this.reached = reached;
    this.code = code;
    this.retryable = SESSION_ERRORS[code].retryable;
  }
}

export function isSessionError(error: unknown, code?: SessionErrorCode): error is SessionError {
  return error instanceof SessionError && (code === undefined || error.code === code);
}
