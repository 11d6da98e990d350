// Maps errors of Redis, and of the connection to it, to the broker's codes. The first word of a server's error is its
// code. An error that is not an answer of the server is a failed connection: whether the command ran is then unknown.
import type { BrokerErrorCode } from '../../errors.ts';
import { BrokerError } from '../../errors.ts';

const MEANINGS: Readonly<Record<string, BrokerErrorCode>> = {
  OOM: 'disk-full',
  // The server cannot write its files, and refuses writes until it can.
  MISCONF: 'disk-full',
  WRONGTYPE: 'corrupt',
  NOAUTH: 'invalid-config',
  WRONGPASS: 'invalid-config',
  NOPERM: 'invalid-config',
  // What should be one server is several, behind a proxy that spreads the keys.
  CROSSSLOT: 'invalid-config',
  READONLY: 'unavailable',
  LOADING: 'unavailable',
  MASTERDOWN: 'unavailable',
  CLUSTERDOWN: 'unavailable',
  TRYAGAIN: 'unavailable',
  MOVED: 'unavailable',
  ASK: 'unavailable',
  BUSY: 'unavailable',
  NOREPLICAS: 'unavailable',
  UNBLOCKED: 'unavailable',
  NOSCRIPT: 'unavailable',
};

/** The error of a script that reads a key in a slot that is being moved (partition-lua.ts). */
const MOVING = /non local key|redirection/i;

/** Errors of a server that has not begun the command. */
const NOT_BEGUN: ReadonlySet<string> = new Set([
  'READONLY',
  'LOADING',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'MOVED',
  'ASK',
  'BUSY',
  'NOSCRIPT',
]);

/** The command was not sent. */
export class NotSentError extends BrokerError {
  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message, options);
  }
}

/** The command certainly changed nothing: it was not sent, or the server has not begun it. */
export function didNotRun(error: unknown): boolean {
  const cause = error instanceof BrokerError ? error.cause : undefined;
  return error instanceof NotSentError || (isReplyError(cause) && NOT_BEGUN.has(wordOf(cause.message)));
}

export function brokerErrorOf(error: unknown, what: string): BrokerError {
  if (error instanceof BrokerError) return error;
  const said = error instanceof Error ? error.message : String(error);
  if (!isReplyError(error))
    return new BrokerError('unavailable', `${what}: the connection to Redis failed: ${said}`, { cause: error });
  const code = MEANINGS[wordOf(said)] ?? (MOVING.test(said) ? 'unavailable' : 'failed');
  return new BrokerError(code, `${what}: Redis says: ${said}`, { cause: error });
}

/** True for an answer of the server, so the connection works. ioredis has no type for it. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** The first word of what the server said: `MOVED`, `NOSCRIPT`, … */
export function wordOf(said: string): string {
  return said.slice(0, Math.max(0, said.indexOf(' ')));
}

/** The error for a reply that no script of this engine gives: another program has written the keys. */
export function wrongReply(what: string): BrokerError {
  return new BrokerError('corrupt', `Redis answered ${what} with something that is no answer`);
}
