// The errors of A2A 1.0 in one table, and their two shapes: the error object of a JSON-RPC response, and the body of a
// REST response. Both carry the same `google.rpc.ErrorInfo`. [A2A §3.3.2, §5.4, §9.5, §11.6]

const ERRORS = {
  'parse-error': { code: -32700, reason: 'INVALID_PARAMS', status: 400, name: 'INVALID_ARGUMENT' },
  'invalid-request': { code: -32600, reason: 'INVALID_PARAMS', status: 400, name: 'INVALID_ARGUMENT' },
  'method-not-found': { code: -32601, reason: 'METHOD_NOT_FOUND', status: 404, name: 'NOT_FOUND' },
  'invalid-params': { code: -32602, reason: 'INVALID_PARAMS', status: 400, name: 'INVALID_ARGUMENT' },
  internal: { code: -32603, reason: 'INTERNAL_ERROR', status: 500, name: 'INTERNAL' },
  'task-not-found': { code: -32001, reason: 'TASK_NOT_FOUND', status: 404, name: 'NOT_FOUND' },
  'task-not-cancelable': { code: -32002, reason: 'TASK_NOT_CANCELABLE', status: 400, name: 'FAILED_PRECONDITION' },
  'push-not-supported': {
    code: -32003,
    reason: 'PUSH_NOTIFICATION_NOT_SUPPORTED',
    status: 400,
    name: 'FAILED_PRECONDITION',
  },
  'unsupported-operation': { code: -32004, reason: 'UNSUPPORTED_OPERATION', status: 400, name: 'FAILED_PRECONDITION' },
  'content-type-not-supported': {
    code: -32005,
    reason: 'CONTENT_TYPE_NOT_SUPPORTED',
    status: 400,
    name: 'INVALID_ARGUMENT',
  },
  'no-extended-card': {
    code: -32007,
    reason: 'EXTENDED_AGENT_CARD_NOT_CONFIGURED',
    status: 400,
    name: 'FAILED_PRECONDITION',
  },
  'version-not-supported': { code: -32009, reason: 'VERSION_NOT_SUPPORTED', status: 400, name: 'FAILED_PRECONDITION' },
} as const;

export type A2aErrorKind = keyof typeof ERRORS;

export interface A2aErrorOptions {
  /** The HTTP status of a REST response. Default: that of the kind. */
  readonly status?: number;
  /** Strings for the client: the field at fault, or the native error code. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number | undefined;
}

export class A2aError extends Error {
  override readonly name = 'A2aError';
  readonly kind: A2aErrorKind;
  readonly status: number;
  readonly #metadata: Readonly<Record<string, string>> | undefined;
  readonly #retryAfterMs: number | undefined;

  constructor(kind: A2aErrorKind, message: string, { status, metadata, retryAfterMs }: A2aErrorOptions = {}) {
    super(message);
    this.kind = kind;
    this.status = status ?? ERRORS[kind].status;
    this.#metadata = metadata;
    this.#retryAfterMs = retryAfterMs;
  }

  /** The error object of a JSON-RPC response. */
  toRpc(): unknown {
    return { code: ERRORS[this.kind].code, message: this.message, data: this.#details() };
  }

  /** The body of a REST response. */
  toRest(): unknown {
    const { status, message } = this;
    return { error: { code: status, status: ERRORS[this.kind].name, message, details: this.#details() } };
  }

  #details(): unknown[] {
    const info = {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: ERRORS[this.kind].reason,
      domain: 'a2a-protocol.org',
      ...(this.#metadata === undefined ? {} : { metadata: this.#metadata }),
    };
    if (this.#retryAfterMs === undefined) return [info];
    const retryDelay = `${Math.max(1, Math.ceil(this.#retryAfterMs / 1000))}s`;
    return [info, { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }];
  }
}

/** A field of the request that cannot be served. The message names the field, never its value. */
export function invalidField(field: string, fault: string): A2aError {
  return new A2aError('invalid-params', `${field} ${fault}`, { metadata: { field } });
}
