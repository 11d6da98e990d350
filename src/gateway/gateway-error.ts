// How the edge itself refuses. What each code means on the wire stands in `error-map.ts`.
import type { GatewayErrorCode } from './error-map.ts';

export interface GatewayErrorOptions extends ErrorOptions {
  /** Shown to the caller in place of the code's own message. Never carries what the caller sent. */
  readonly message?: string;
  /** Shown to the caller, where it helps to find the fault. */
  readonly details?: unknown;
  readonly retryAfterMs?: number;
}

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;
  readonly details: unknown;
  readonly retryAfterMs: number | undefined;

  constructor(code: GatewayErrorCode, { message, details, retryAfterMs, ...options }: GatewayErrorOptions = {}) {
    super(message ?? '', options);
    this.code = code;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }
}

export function isGatewayError(error: unknown, code?: GatewayErrorCode): error is GatewayError {
  return error instanceof GatewayError && (code === undefined || error.code === code);
}
