// How this engine connects: never a command that waits for a connection, never one that is sent a second time, and a
// server that does not answer is found out. The defaults of the client are the opposite of each.
import type { RedisOptions } from 'ioredis';
import { jittered } from './jitter.ts';

/** Until a connection stands. */
const CONNECT_MS = 5_000;
/** A command that has no answer by then is given up together with its connection. Above what WAIT may take. */
export const ANSWER_MS = 5_000;
const KEEP_ALIVE_MS = 10_000;
/** Between two tries to connect: anything from nothing to this, and later to the second. */
const RETRY_MS_FIRST = 100;
const RETRY_MS_MAX = 3_000;
/** A server that loads its data is asked again for this long before the connection is made anew. */
const LOADING_MS = 1_000;

export function connectionSettings(purpose: 'commands' | 'subscriber'): Omit<RedisOptions, 'replyMapping'> {
  return {
    lazyConnect: true,
    connectionName: `holdline-${purpose}`,
    // A smaller answer to read; a subscriber needs the other protocol to be told that a slot has moved.
    protocol: purpose === 'subscriber' ? 3 : 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    enableReadyCheck: true,
    maxLoadingRetryTime: LOADING_MS,
    connectTimeout: CONNECT_MS,
    socketTimeout: ANSWER_MS,
    keepAlive: KEEP_ALIVE_MS,
    noDelay: true,
    retryStrategy: retryIn,
    // A master that has become a replica: ask again who is the master. Nothing is sent a second time.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

/** Full jitter: nodes that lost the same server do not come back together. */
function retryIn(attempt: number): number {
  return jittered(Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** Math.min(attempt, 10))) + 1;
}
