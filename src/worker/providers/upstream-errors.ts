// From what a model server, or the network before it, did wrong to a ProviderError. Messages say what happened in
// our own words: an upstream's text may quote the prompt or the key, a network error's the URL, and a parser's the
// answer. So nothing of theirs passes but a status, a system error code and words known here; no cause is attached.
import { ProviderError, type ProviderErrorCode } from '../provider.ts';

/** Error codes and types that OpenAI-compatible servers use. A list, since an unknown word could be a secret. */
const KNOWN_WORDS: ReadonlySet<string> = new Set([
  'authentication_error', 'billing_hard_limit_reached', 'content_filter', 'content_policy_violation',
  'context_length_exceeded', 'engine_overloaded', 'exceed_context_size_error', 'insufficient_quota',
  'internal_server_error', 'invalid_api_key', 'invalid_prompt', 'invalid_request_error', 'model_not_found',
  'not_found_error', 'overloaded_error', 'permission_error', 'rate_limit_error', 'rate_limit_exceeded',
  'server_error', 'service_unavailable', 'timeout_error', 'tokens', 'unsupported_model', 'unsupported_parameter',
  'unsupported_value', 'BadRequestError', 'InternalServerError', 'NotFoundError', 'RateLimitError',
]);

/** An answer with an error status. */
export function errorOfStatus(status: number, word?: string): ProviderError {
  const detail = word === undefined ? `HTTP ${status}` : `HTTP ${status}, ${word}`;
  return new ProviderError(codeOfStatus(status), `${WHAT_HAPPENED[codeOfStatus(status)]} (${detail})`);
}

/** An error object where the answer should be. Its own code counts, when that is an HTTP status. */
export function errorOfObject(json: unknown): ProviderError {
  const status = statusIn(json);
  if (status !== undefined) return errorOfStatus(status, errorWord(json));
  const word = errorWord(json);
  const code = word !== undefined && word.startsWith('rate_limit') ? 'upstream-rate-limited' : 'upstream-error';
  return new ProviderError(code, word === undefined ? WHAT_HAPPENED[code] : `${WHAT_HAPPENED[code]} (${word})`);
}

/** fetch rejected before there was an answer. */
export function errorOfConnecting(error: unknown): ProviderError {
  const code = systemCode(error);
  // fetch has no code for what it forbids itself: a redirect, a blocked port. Asking again would change nothing.
  if (code === undefined) return new ProviderError('upstream-refused', 'the model server redirects, or its address may not be used');
  if (code.startsWith('HPE_')) return malformed('the model server does not speak HTTP');
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return timedOut();
  return new ProviderError('upstream-unreachable', `the model server cannot be reached (${code})`);
}

/** The body broke while it was read. */
export function errorOfReading(error: unknown): ProviderError {
  const code = systemCode(error);
  if (code !== undefined && /^(?:HPE_|Z_)/.test(code)) return malformed(`the model server's answer cannot be decoded (${code})`);
  if (code === 'UND_ERR_BODY_TIMEOUT') return timedOut();
  return truncated(code);
}

export function timedOut(): ProviderError {
  return new ProviderError('upstream-timeout', 'the model server was silent for too long');
}

export function truncated(code?: string): ProviderError {
  const detail = code === undefined ? '' : ` (${code})`;
  return new ProviderError('upstream-truncated', `the model server's answer broke off before its end${detail}`);
}

export function malformed(message: string): ProviderError {
  return new ProviderError('upstream-malformed', message);
}

export function tooLarge(what: string, limit: number): ProviderError {
  return new ProviderError('upstream-too-large', `${what} of the model server is over its limit of ${limit}`);
}

/** The error object of a chunk or a body, in the two shapes servers use; undefined when there is none. */
export function errorIn(json: unknown): unknown {
  if (!isObject(json)) return undefined;
  // Falsy, since some servers write `"error": null` into every chunk.
  if (Boolean(json['error'])) return json['error'];
  return json['object'] === 'error' ? json : undefined;
}

/** What kind of error it says it is, if that is a word known here. */
export function errorWord(error: unknown): string | undefined {
  if (!isObject(error)) return undefined;
  return [error['code'], error['type']].find((word): word is string => typeof word === 'string' && KNOWN_WORDS.has(word));
}

const WHAT_HAPPENED = {
  'upstream-rate-limited': 'the model server asks for fewer requests',
  'upstream-refused': 'the model server refused the request',
  'upstream-error': 'the model server failed',
} as const satisfies Partial<Record<ProviderErrorCode, string>>;

function codeOfStatus(status: number): keyof typeof WHAT_HAPPENED {
  if (status === 429) return 'upstream-rate-limited';
  if (status >= 400 && status < 500 && status !== 408 && status !== 409) return 'upstream-refused';
  return 'upstream-error';
}

function statusIn(error: unknown): number | undefined {
  const code = isObject(error) ? error['code'] : undefined;
  return typeof code === 'number' && Number.isInteger(code) && code >= 400 && code <= 599 ? code : undefined;
}

/** fetch hides the system's error in `cause`. */
function systemCode(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = isObject(cause) ? cause['code'] : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
