// The one table from error codes to the wires: HTTP status, WebSocket close code, may it be tried again, after
// how long, and the words. Every code of every layer has its row, and the compiler sees to it.
import { BrokerError, type BrokerErrorCode } from '../broker/errors.ts';
import { SessionError, type SessionErrorCode } from '../session/errors.ts';
import { GatewayError } from './gateway-error.ts';

interface Row {
  readonly status: number;
  readonly retryable: boolean;
  readonly message: string;
  /** Sent as Retry-After where the error names no time itself. */
  readonly retryAfterS?: number;
  /** Of a code that ends a WebSocket. [PROTOCOL §6] */
  readonly close?: number;
}

const GATEWAY = {
  'invalid-request': { status: 400, retryable: false, message: 'the request is not valid' },
  'invalid-json': { status: 400, retryable: false, message: 'the body is not JSON' },
  'invalid-position': { status: 400, retryable: false, message: 'not a position' },
  unauthenticated: { status: 401, retryable: false, message: 'a valid token is needed', close: 4401 },
  'token-expired': { status: 401, retryable: false, message: 'the token has expired', close: 4401 },
  'token-in-url': { status: 401, retryable: false, message: 'a token does not belong in a URL: buy a ticket' },
  forbidden: { status: 403, retryable: false, message: 'the token does not allow this', close: 4403 },
  'origin-refused': { status: 403, retryable: false, message: 'this origin may not call' },
  'no-such-route': { status: 404, retryable: false, message: 'there is nothing at this address' },
  'cursor-not-found': { status: 404, retryable: false, message: 'no such cursor' },
  'auth-timeout': { status: 408, retryable: true, message: 'no token came in time', close: 4408 },
  'request-timeout': { status: 408, retryable: true, message: 'the request took too long to arrive' },
  'too-large': { status: 413, retryable: false, message: 'the request is too large', close: 1009 },
  'unsupported-media-type': { status: 415, retryable: false, message: 'the body must be application/json' },
  'host-refused': { status: 421, retryable: false, message: 'this server does not answer to that host name' },
  'upgrade-required': { status: 426, retryable: false, message: 'this address speaks WebSocket' },
  'too-many': { status: 429, retryable: true, message: 'too many at once', retryAfterS: 5, close: 4429 },
  'headers-too-large': { status: 431, retryable: false, message: 'the headers are too large' },
  'bad-frame': { status: 400, retryable: false, message: 'not a frame of this protocol', close: 4400 },
  internal: { status: 500, retryable: true, message: 'something went wrong here', close: 1011 },
  'node-full': { status: 503, retryable: true, message: 'this node has no room for another connection', retryAfterS: 5, close: 4429 },
  draining: { status: 503, retryable: true, message: 'this node is shutting down', retryAfterS: 1, close: 4503 },
  'not-ready': { status: 503, retryable: true, message: 'this node is not ready', retryAfterS: 2 },
  'keys-unavailable': { status: 503, retryable: true, message: 'the keys that verify tokens cannot be fetched', retryAfterS: 5, close: 4503 },
} as const satisfies Record<string, Row>;

export type GatewayErrorCode = keyof typeof GATEWAY;

const SESSION: Record<SessionErrorCode, Omit<Row, 'message' | 'retryable'>> = {
  'not-found': { status: 404 },
  'message-conflict': { status: 409 },
  busy: { status: 409 },
  'queue-full': { status: 429, retryAfterS: 5 },
  'no-active-run': { status: 409 },
  'cursor-conflict': { status: 409 },
  contended: { status: 503, retryAfterS: 1 },
  'content-too-large': { status: 413 },
};

/** `internal`: a defect of ours or of the storage; it is logged, and the wire says no more than that. */
const BROKER: Record<BrokerErrorCode, Row | 'internal'> = {
  'invalid-topic': { status: 400, retryable: false, message: 'not a valid name' },
  'invalid-append': 'internal',
  'too-large': { status: 413, retryable: false, message: 'too large to be stored' },
  'epoch-changed': { status: 409, retryable: true, message: 'the session was changed meanwhile, try again' },
  conflict: { status: 409, retryable: true, message: 'the session was changed meanwhile, try again' },
  fenced: { status: 409, retryable: true, message: 'the session was changed meanwhile, try again' },
  'out-of-sequence': 'internal',
  overloaded: { status: 503, retryable: true, message: 'the log has no room for this now', retryAfterS: 2 },
  'disk-full': { status: 507, retryable: true, message: 'the log is full', retryAfterS: 30 },
  failed: { status: 503, retryable: true, message: 'the log of this node has failed', retryAfterS: 10 },
  corrupt: 'internal',
  locked: 'internal',
  closed: { status: 503, retryable: true, message: 'this node is shutting down', retryAfterS: 1 },
  'invalid-config': 'internal',
};

/** An error as every wire tells it. [PROTOCOL §1] */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: unknown;
}

export interface MappedError {
  readonly error: WireError;
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  /** 1011 where the code has none of its own. */
  readonly close: number;
  /** Nobody expected it: log it. */
  readonly isDefect: boolean;
}

export function mapError(error: unknown): MappedError {
  if (error instanceof GatewayError) {
    const { details, retryAfterMs } = error;
    return { ...mapRow(error.code, GATEWAY[error.code], error.message, details, retryAfterMs), isDefect: error.code === 'internal' };
  }
  if (error instanceof SessionError) {
    const { code, message, retryable } = error;
    return mapRow(code, { ...SESSION[code], message, retryable });
  }
  const row = error instanceof BrokerError ? BROKER[error.code] : 'internal';
  if (row === 'internal') return { ...mapRow('internal', GATEWAY.internal), isDefect: true };
  return mapRow(error instanceof BrokerError ? error.code : 'internal', row);
}

function mapRow(code: string, row: Row, message?: string, details?: unknown, retryAfterMs?: number): MappedError {
  const told = message === undefined || message === '' ? row.message : message;
  return {
    error: { code, message: told, retryable: row.retryable, ...(details === undefined ? {} : { details }) },
    status: row.status,
    retryAfterMs: retryAfterMs ?? (row.retryAfterS === undefined ? undefined : row.retryAfterS * 1000),
    close: row.close ?? 1011,
    isDefect: false,
  };
}

/** The codes of each layer, for tests and documents. */
export const ERROR_CODES = { gateway: Object.keys(GATEWAY), session: Object.keys(SESSION), broker: Object.keys(BROKER) } as const;
