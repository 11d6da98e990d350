// What an error of Redis, or of the connection to it, means to those above. The code is the first word of what the
// server says; everything that is not an answer of the server is a connection that failed, and then nobody knows
// whether the command was carried out.
import type { BrokerErrorCode } from '../../errors.ts';
import { BrokerError } from '../../errors.ts';

const MEANINGS: Readonly<Record<string, BrokerErrorCode>> = {
  OOM: 'disk-full',
  // The server cannot write its files, and so takes no writes until it can.
  MISCONF: 'disk-full',
  WRONGTYPE: 'corrupt',
  NOAUTH: 'invalid-config',
  WRONGPASS: 'invalid-config',
  NOPERM: 'invalid-config',
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

/** Said by a script that looks for a key in a slot that is being moved (partition-lua.ts). */
const MOVING = /non local key|redirection/i;

export function brokerErrorOf(error: unknown, what: string): BrokerError {
  if (error instanceof BrokerError) return error;
  const said = error instanceof Error ? error.message : String(error);
  if (!isReplyError(error))
    return new BrokerError('unavailable', `${what}: the connection to Redis failed: ${said}`, { cause: error });
  const code = MEANINGS[wordOf(said)] ?? (MOVING.test(said) ? 'unavailable' : 'failed');
  return new BrokerError(code, `${what}: Redis says: ${said}`, { cause: error });
}

/** An answer of the server, so the connection stands. ioredis has no type for it. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** The first word of what the server said: `MOVED`, `NOSCRIPT`, … */
export function wordOf(said: string): string {
  return said.slice(0, Math.max(0, said.indexOf(' ')));
}

/** A reply that none of our scripts gives: the keys are not ours, or not as we left them. */
export function wrongReply(what: string): BrokerError {
  return new BrokerError('corrupt', `Redis answered ${what} with something that is no answer`);
}
