// The shape of an error on the OpenAI wires: `{error: {message, type, param, code}}`. The client library retries 408,
// 409, 429 and 5xx by itself, twice, unless a header forbids it.

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** An error as the gateway maps it for every wire. */
export interface GivenError {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  /** The parameter that was refused. */
  readonly param?: string | undefined;
}

export interface ErrorAnswer {
  readonly status: number;
  readonly body: ErrorBody;
  /** The client must not repeat the request by itself. */
  readonly isFinal: boolean;
}

/** Codes for which OpenAI has a code of its own. */
const OWN_CODES: Readonly<Record<string, { readonly code: string; readonly status?: number }>> = {
  unauthenticated: { code: 'invalid_api_key' },
  'token-expired': { code: 'invalid_api_key' },
  'unknown-agent': { code: 'model_not_found', status: 404 },
  'unknown-model': { code: 'model_not_found', status: 404 },
};

const TYPES: ReadonlyMap<number, string> = new Map([
  [401, 'authentication_error'],
  [403, 'permission_error'],
  [429, 'rate_limit_error'],
]);

/** Statuses that the client library retries. */
const RETRIED: ReadonlySet<number> = new Set([408, 409, 429]);

export function errorAnswer(given: GivenError): ErrorAnswer {
  const own = OWN_CODES[given.code];
  const status = own?.status ?? given.status;
  // `busy` can succeed later, but not within the moments of an automatic retry.
  const isFinal = (RETRIED.has(status) || status >= 500) && (!given.retryable || given.code === 'busy');
  return { status, body: errorBody(status, given, own?.code ?? given.code), isFinal };
}

function errorBody(status: number, { message, param }: GivenError, code: string): ErrorBody {
  const type = TYPES.get(status) ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
  return { error: { message, type, param: param ?? (code === 'model_not_found' ? 'model' : null), code } };
}
