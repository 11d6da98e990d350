// How an agent's own code says that a run has failed, and what the user is told of it.

/** UTF-16 code units of a message: it stands in the log and on every wire. */
const MESSAGE_CHARS_MAX = 1000;
const CODE = /^[a-z][a-z0-9-]{0,63}$/;

export interface AgentErrorOptions extends ErrorOptions {
  /** May a new run of the same prompt succeed? Default: no. */
  readonly retryable?: boolean;
}

/** Thrown by an agent, it ends the run as `run.failed` with this code and message, which users see. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: string;
  readonly retryable: boolean;

  /** @throws TypeError for a code that is not like `no-such-order` */
  constructor(code: string, message: string, { retryable = false, ...options }: AgentErrorOptions = {}) {
    super(message.slice(0, MESSAGE_CHARS_MAX), options);
    if (!CODE.test(code)) throw new TypeError('the code of an AgentError is of lower case letters, digits and hyphens, 64 at most');
    this.code = code;
    this.retryable = retryable;
  }
}
