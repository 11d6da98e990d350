// Every error of a broker, in one table. Callers match on the code, never on the text.

/** Code → whether the same call may succeed later without any other change. */
const BROKER_ERRORS = {
  /** A malformed name, record or condition: a defect of the caller. */
  'invalid-topic': false,
  'invalid-append': false,
  /** A record or an append is above its limit. */
  'too-large': false,
  /** The topic is missing, or in another epoch than the caller expects. Nothing was created. */
  'epoch-changed': false,
  /** A major record follows the position of `ifUnchanged`. The caller should read and decide again. */
  conflict: false,
  /** Another writer took a later fencing token: this writer has been replaced and must stop. */
  fenced: false,
  /** (fence, seq) skips a number or is older than the last one: the writer's own count is wrong. */
  'out-of-sequence': false,
  /** A limit on topics or on waiting bytes is reached. */
  overloaded: true,
  /** The device is full. Reads work; appends succeed again once there is room. */
  'disk-full': true,
  /** A quota of the topic's account is reached: `reached` says which. Ends when something is removed. */
  'quota-reached': false,
  /** Likewise, of topics that are made. Ends by itself. */
  'quota-rate-reached': true,
  /** The storage cannot be reached, or its answer was lost. An append that fails with this code may have been
   *  written. */
  unavailable: true,
  /** The device failed a write or a flush, so the engine can promise nothing more. Restart the process. */
  failed: false,
  /** Stored bytes do not match their checksum. The engine never returns them. */
  corrupt: false,
  /** Another process holds the data folder. */
  locked: false,
  /** The broker was closed. */
  closed: false,
  /** The engine cannot honour the configuration. */
  'invalid-config': false,
} as const satisfies Record<string, boolean>;

export type BrokerErrorCode = keyof typeof BROKER_ERRORS;

/** Which quota is reached. */
export interface ReachedQuota {
  readonly quota: 'topics' | 'bytes' | 'creations';
  /** Of `creations`: the size of the bucket. */
  readonly limit: number;
  readonly used: number;
  /** After this time the quota allows the same write. Undefined: after something was removed. */
  readonly retryAfterMs?: number;
}

export interface BrokerErrorOptions extends ErrorOptions {
  /** Of `quota-reached` and `quota-rate-reached`. */
  readonly reached?: ReachedQuota;
}

export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly code: BrokerErrorCode;
  readonly retryable: boolean;
  readonly reached: ReachedQuota | undefined;

  constructor(code: BrokerErrorCode, message: string, { reached, ...options }: BrokerErrorOptions = {}) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.reached = reached;
    this.retryable = BROKER_ERRORS[code];
  }
}

export function isBrokerError(error: unknown, code?: BrokerErrorCode): error is BrokerError {
  return error instanceof BrokerError && (code === undefined || error.code === code);
}

/** Whether the same call may succeed later without any other change. */
export function isRetryable(error: unknown): error is BrokerError {
  return error instanceof BrokerError && error.retryable;
}
