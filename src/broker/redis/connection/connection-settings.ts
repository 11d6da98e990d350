// The settings of this engine's connections: no command waits for a connection, none is sent a second time, and a
// server that does not answer is detected. The client's defaults are the opposite in each case.
import type { RedisOptions } from 'ioredis';
import { jittered } from './jitter.ts';

/** The longest time to establish a connection. */
const CONNECT_MS = 5_000;
/** A command without an answer by then fails, and its connection is closed. Longer than WAIT may take. */
export const ANSWER_MS = 5_000;
const KEEP_ALIVE_MS = 10_000;
/** The pause between two tries to connect is random: at first up to RETRY_MS_FIRST, later up to RETRY_MS_MAX. */
const RETRY_MS_FIRST = 100;
const RETRY_MS_MAX = 3_000;
/** How long the client polls a server that loads its data before it makes a new connection. */
const LOADING_MS = 1_000;

export function connectionSettings(purpose: 'commands' | 'subscriber'): Omit<RedisOptions, 'replyMapping'> {
  return {
    lazyConnect: true,
    connectionName: `holdline-${purpose}`,
    // RESP2 answers are smaller to read. A subscriber needs RESP3 to be notified that a slot has moved.
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
    // A master has become a replica: reconnect, so that the sentinels name the new master. Nothing is sent a second
    // time.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

/** Full jitter: nodes that lost the same server do not come back together. */
function retryIn(attempt: number): number {
  return jittered(Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** Math.min(attempt, 10))) + 1;
}
