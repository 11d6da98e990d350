// The error with which an agent's own code fails its run, and what the user sees of it.

/** UTF-16 code units of a message: the log stores it and every wire carries it. */
const MESSAGE_CHARS_MAX = 1000;
const CODE = /^[a-z][a-z0-9-]{0,63}$/;
/** The same symbol in every copy of this package: the module of a handler may have imported another copy than its
 *  worker. */
const MARK = Symbol.for('holdline.AgentError');

export interface AgentErrorOptions extends ErrorOptions {
  /** May a new run of the same prompt succeed? Default: no. */
  readonly retryable?: boolean;
}

/** Thrown by an agent, it ends the run as `run.failed` with this code and message, which users see. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly [MARK] = true;
  readonly code: string;
  readonly retryable: boolean;

  /** @throws TypeError for a code that is not like `no-such-order` */
  constructor(code: string, message: string, { retryable = false, ...options }: AgentErrorOptions = {}) {
    super(message.slice(0, MESSAGE_CHARS_MAX), options);
    if (!CODE.test(code))
      throw new TypeError('the code of an AgentError is of lower case letters, digits and hyphens, 64 at most');
    this.code = code;
    this.retryable = retryable;
  }
}

/** Recognizes the error of any copy of this package. The fields are checked, because the log stores them. */
export function isAgentError(error: unknown): error is AgentError {
  if (error instanceof AgentError) return true;
  if (!(error instanceof Error) || (error as Partial<AgentError>)[MARK] !== true) return false;
  const { code, message, retryable } = error as Partial<AgentError>;
  return (
    typeof code === 'string' &&
    CODE.test(code) &&
    typeof retryable === 'boolean' &&
    typeof message === 'string' &&
    message.length <= MESSAGE_CHARS_MAX
  );
}
