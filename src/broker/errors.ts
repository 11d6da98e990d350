// Every way in which a broker refuses, in one table. Callers match on the code, never on the text.

/** code → may the same call succeed later without anything else changing? */
const BROKER_ERRORS = {
  /** Malformed name, record or condition: a defect of the caller. */
  'invalid-topic': false,
  'invalid-append': false,
  /** A record or an append is above its limit. */
  'too-large': false,
  /** The topic is missing, or in another life than the one the caller knows. Nothing was created. */
  'epoch-changed': false,
  /** A major record stands after the position named by `ifUnchanged`. Read again, decide again. */
  conflict: false,
  /** A later fence was taken: this writer has been replaced and must stop. */
  fenced: false,
  /** (fence, seq) skips a number, or is older than the last: the writer's own bookkeeping is broken. */
  'out-of-sequence': false,
  /** A limit on topics or on waiting bytes was reached. */
  overloaded: true,
  /** No room on the device. Reads go on; appends succeed again once there is room. */
  'disk-full': true,
  /** The storage could not be asked, or its answer was lost. An append that fails with this may have been written. */
  unavailable: true,
  /** The device failed a write or a flush, so nothing more may be promised. The process must be restarted. */
  failed: false,
  /** Stored bytes do not match their checksum. They are never served. */
  corrupt: false,
  /** The data folder is held by another process. */
  locked: false,
  /** The broker was closed. */
  closed: false,
  /** Configuration that this engine cannot honour. */
  'invalid-config': false,
} as const satisfies Record<string, boolean>;

export type BrokerErrorCode = keyof typeof BROKER_ERRORS;

export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly code: BrokerErrorCode;
  readonly retryable: boolean;

  constructor(code: BrokerErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.retryable = BROKER_ERRORS[code];
  }
}

export function isBrokerError(error: unknown, code?: BrokerErrorCode): error is BrokerError {
  return error instanceof BrokerError && (code === undefined || error.code === code);
}
