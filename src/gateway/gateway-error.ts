// The errors of the gateway itself, in one table: code, message, and whether a retry can succeed. `error-map.ts` maps
// each code to the wires.
import { REFUSALS } from '../session/agent-limits.ts';

const GATEWAY_ERRORS = {
  'invalid-request': { retryable: false, message: 'the request is not valid' },
  'invalid-json': { retryable: false, message: 'the body is not JSON' },
  'json-too-deep': { retryable: false, message: 'the JSON is nested too deep' },
  'invalid-position': { retryable: false, message: 'not a position' },
  unauthenticated: { retryable: false, message: 'a valid token is needed' },
  'token-expired': { retryable: false, message: 'the token has expired' },
  'token-in-url': { retryable: false, message: 'a token does not belong in a URL: buy a ticket' },
  forbidden: { retryable: false, message: 'the token does not allow this' },
  'origin-refused': { retryable: false, message: 'this origin may not call' },
  'unknown-agent': { retryable: false, message: 'no such agent' },
  'unknown-model': { retryable: false, message: REFUSALS['unknown-model'] },
  'option-refused': { retryable: false, message: REFUSALS['option-refused'] },
  'content-too-large': { retryable: false, message: REFUSALS['content-too-large'] },
  'no-such-route': { retryable: false, message: 'there is nothing at this address' },
  'cursor-not-found': { retryable: false, message: 'no such cursor' },
  'auth-timeout': { retryable: true, message: 'no token came in time' },
  'request-timeout': { retryable: true, message: 'the request took too long to arrive' },
  'too-large': { retryable: false, message: 'the request is too large' },
  'unsupported-media-type': { retryable: false, message: 'the body must be application/json' },
  'host-refused': { retryable: false, message: 'this server does not answer to that host name' },
  'length-required': { retryable: false, message: 'the upload must declare its length' },
  'range-not-satisfiable': { retryable: false, message: 'the attachment has no such bytes' },
  'upgrade-required': { retryable: false, message: 'this address speaks WebSocket' },
  'too-many': { retryable: true, message: 'too many at once' },
  'headers-too-large': { retryable: false, message: 'the headers are too large' },
  'bad-frame': { retryable: false, message: 'not a frame of this protocol' },
  internal: { retryable: true, message: 'something went wrong here' },
  'node-full': { retryable: true, message: 'this node has no room for another connection' },
  draining: { retryable: true, message: 'this node is shutting down' },
  'keys-unavailable': { retryable: true, message: 'the keys that verify tokens cannot be fetched' },
} as const satisfies Record<string, { retryable: boolean; message: string }>;

export type GatewayErrorCode = keyof typeof GATEWAY_ERRORS;

export interface GatewayErrorOptions extends ErrorOptions {
  /** Sent to the caller in place of the code's own message. It never repeats what the caller sent. */
  readonly message?: string;
  /** Sent to the caller to help find the fault. */
  readonly details?: unknown;
  readonly retryAfterMs?: number;
}

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;
  readonly retryable: boolean;
  readonly details: unknown;
  readonly retryAfterMs: number | undefined;

  constructor(code: GatewayErrorCode, { message, details, retryAfterMs, ...options }: GatewayErrorOptions = {}) {
    super(message ?? GATEWAY_ERRORS[code].message, options);
    this.code = code;
    this.retryable = GATEWAY_ERRORS[code].retryable;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }
}

export function isGatewayError(error: unknown, code?: GatewayErrorCode): error is GatewayError {
  return error instanceof GatewayError && (code === undefined || error.code === code);
}
