// The only map from error codes to the wires: HTTP status, WebSocket close code, and the time after which to try again.
// Every code of every layer has a row, which the compiler checks.
import { BrokerError, type BrokerErrorCode } from '../broker/errors.ts';
import type { ReachedQuota } from '../broker/errors.ts';
import { SessionError, type SessionErrorCode } from '../session/errors.ts';
import { GatewayError, type GatewayErrorCode } from './gateway-error.ts';

interface WireRow {
  readonly status: number;
  /** Seconds; sent as Retry-After when the error has no time of its own. */
  readonly retryAfterS?: number;
  /** The close code of an error that ends a WebSocket. [PROTOCOL §6] */
  readonly close?: number;
}

interface Row extends WireRow {
  readonly retryable: boolean;
  readonly message: string;
}

const GATEWAY: Record<GatewayErrorCode, WireRow> = {
  'invalid-request': { status: 400 },
  'invalid-json': { status: 400 },
  'json-too-deep': { status: 400, close: 4400 },
  'invalid-position': { status: 400 },
  'unknown-agent': { status: 400 },
  'unknown-model': { status: 400 },
  'option-refused': { status: 400 },
  unauthenticated: { status: 401, close: 4401 },
  'token-expired': { status: 401, close: 4401 },
  'token-in-url': { status: 401 },
  forbidden: { status: 403, close: 4403 },
  'origin-refused': { status: 403 },
  'no-such-route': { status: 404 },
  'cursor-not-found': { status: 404 },
  'auth-timeout': { status: 408, close: 4408 },
  'request-timeout': { status: 408 },
  'content-too-large': { status: 413 },
  'too-large': { status: 413, close: 1009 },
  'unsupported-media-type': { status: 415 },
  'host-refused': { status: 421 },
  'length-required': { status: 411 },
  'range-not-satisfiable': { status: 416 },
  'upgrade-required': { status: 426 },
  'too-many': { status: 429, retryAfterS: 5, close: 4429 },
  'headers-too-large': { status: 431 },
  'bad-frame': { status: 400, close: 4400 },
  internal: { status: 500, close: 1011 },
  'node-full': { status: 503, retryAfterS: 5, close: 4429 },
  draining: { status: 503, retryAfterS: 1, close: 4503 },
  'keys-unavailable': { status: 503, retryAfterS: 5, close: 4503 },
};

const SESSION: Record<SessionErrorCode, WireRow> = {
  'not-found': { status: 404 },
  'message-conflict': { status: 409 },
  busy: { status: 409 },
  'not-waiting': { status: 409 },
  'input-not-found': { status: 404 },
  'already-answered': { status: 409 },
  'invalid-answer': { status: 400 },
  'too-large': { status: 413 },
  'session-not-new': { status: 409 },
  'message-not-found': { status: 404 },
  'run-not-found': { status: 404 },
  'queue-full': { status: 429, retryAfterS: 5 },
  'too-many-sessions': { status: 429 },
  'too-many-runs': { status: 429, retryAfterS: 5 },
  'too-many-waiting': { status: 429, retryAfterS: 5 },
  'attachment-not-found': { status: 404 },
  'attachment-in-use': { status: 409 },
  'too-many-attachments': { status: 413 },
  'upload-incomplete': { status: 400 },
  'digest-mismatch': { status: 400 },
  'too-many-uploads': { status: 429, retryAfterS: 5 },
  'session-storage-full': { status: 429 },
  'too-many-pauses': { status: 429 },
  'no-active-run': { status: 409 },
  'chat-damaged': { status: 409 },
  'cursor-conflict': { status: 409 },
  contended: { status: 503, retryAfterS: 1 },
};

/** `internal`: a defect of Holdline or of the storage. It is logged, and the client receives no detail. */
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
  'quota-reached': { status: 507, retryable: false, message: 'this tenant holds as much as it may: delete a chat' },
  'quota-rate-reached': { status: 429, retryable: true, message: 'this tenant makes chats too fast' },
  unavailable: { status: 503, retryable: true, message: 'the log cannot be reached now', retryAfterS: 2 },
  failed: { status: 503, retryable: true, message: 'the log of this node has failed', retryAfterS: 10 },
  corrupt: { status: 500, retryable: false, message: 'a part of this chat is damaged in the storage' },
  locked: 'internal',
  closed: { status: 503, retryable: true, message: 'this node is shutting down', retryAfterS: 1 },
  'invalid-config': 'internal',
};

/** The shape of an error on every wire. [PROTOCOL §1] */
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
  /** 1011 when the code has no close code of its own. */
  readonly close: number;
  /** The error is unexpected and must be logged. */
  readonly isDefect: boolean;
}

export function mapError(error: unknown): MappedError {
  if (error instanceof GatewayError) {
    const { code, message, retryable, details, retryAfterMs } = error;
    return {
      ...mapRow(code, { ...GATEWAY[code], message, retryable }, details, retryAfterMs),
      isDefect: code === 'internal',
    };
  }
  if (error instanceof SessionError) {
    const { code, message, retryable, limit, reached } = error;
    const details = limit === undefined ? error.details : { ...reached, limit };
    return mapRow(code, { ...SESSION[code], message, retryable }, details);
  }
  const row = error instanceof BrokerError ? BROKER[error.code] : 'internal';
  if (row === 'internal' || !(error instanceof BrokerError)) return mapError(new GatewayError('internal'));
  const { reached, code } = error;
  // The caller receives the code `corrupt`, and it is logged as a defect all the same.
  return {
    ...mapRow(code, row, reached && quotaDetails(reached), reached?.retryAfterMs),
    isDefect: code === 'corrupt',
  };
}

function quotaDetails({ quota, limit, used }: ReachedQuota): unknown {
  return { quota: quota === 'topics' ? 'chats' : quota, limit, used };
}

function mapRow(code: string, row: Row, details?: unknown, retryAfterMs?: number): MappedError {
  const { message, retryable } = row;
  return {
    error: { code, message, retryable, ...(details === undefined ? {} : { details }) },
    status: row.status,
    retryAfterMs: retryAfterMs ?? (row.retryAfterS === undefined ? undefined : row.retryAfterS * 1000),
    close: row.close ?? 1011,
    isDefect: false,
  };
}

/** The reason of a WebSocket's close: the error's code, or JSON of the code and the time to wait. [PROTOCOL §6] */
export function closeReason({ error: { code }, retryAfterMs }: MappedError): string {
  return retryAfterMs === undefined ? code : JSON.stringify({ code, afterMs: retryAfterMs });
}

/** The codes of each layer, for tests that compare them with the documents. */
export const ERROR_CODES = {
  gateway: Object.keys(GATEWAY),
  session: Object.keys(SESSION),
  broker: Object.keys(BROKER),
} as const;
