// Maps a failure of a model server, or of the network before it, to a ProviderError. Messages are in our own words: an
// upstream's text may quote the prompt or the key, a network error's the URL, and a parser's the answer. Only a status,
// a system error code and the words listed here are taken over, and no cause is attached. Users cannot use these, so
// they are the error's `detail`, which only the log has.
import { ProviderError, type ProviderErrorCode } from '../../provider.ts';

/** Error codes and types of OpenAI-compatible servers. A fixed list, because an unknown word could be a secret. */
const KNOWN_WORDS: ReadonlySet<string> = new Set([
  'authentication_error',
  'billing_hard_limit_reached',
  'content_filter',
  'content_policy_violation',
  'context_length_exceeded',
  'engine_overloaded',
  'exceed_context_size_error',
  'insufficient_quota',
  'internal_server_error',
  'invalid_api_key',
  'invalid_prompt',
  'invalid_request_error',
  'model_not_found',
  'not_found_error',
  'overloaded_error',
  'permission_error',
  'rate_limit_error',
  'rate_limit_exceeded',
  'server_error',
  'service_unavailable',
  'timeout_error',
  'tokens',
  'unsupported_model',
  'unsupported_parameter',
  'unsupported_value',
  'BadRequestError',
  'InternalServerError',
  'NotFoundError',
  'RateLimitError',
]);

/** The error of a response with an error status. `error`: the error object in its body, if there is one. */
export function errorOfStatus(status: number, error?: unknown): ProviderError {
  const code = isQuotaSpent(status, error) ? 'upstream-quota-spent' : codeOfStatus(status);
  return described(code, [`HTTP ${status}`, errorWord(error)], OPERATOR_STATUSES.has(status));
}

/** The error of an error object in place of the answer, or of any other report of a failure. Its own code decides
 *  when that is an HTTP status; otherwise its words do. */
export function errorOfObject(error: unknown): ProviderError {
  const status = statusIn(error);
  return status === undefined
    ? described(codeOfWords(error), [errorWord(error)], OPERATOR_WORDS.has(errorWord(error) ?? ''))
    : errorOfStatus(status, error);
}

/** The server does not accept the key, the address or the model name: no other prompt of a user changes that. */
const OPERATOR_STATUSES: ReadonlySet<number> = new Set([401, 403, 404, 405, 407]);
const OPERATOR_WORDS: ReadonlySet<string> = new Set([
  'authentication_error',
  'invalid_api_key',
  'model_not_found',
  'not_found_error',
  'permission_error',
  'unsupported_model',
  'NotFoundError',
]);
const FOR_THE_OPERATOR = ': whoever runs this service must look at it';

/** @param isForOperator another prompt would fail too, until the operator changes something */
function described(
  code: keyof typeof WHAT_HAPPENED,
  details: readonly (string | undefined)[],
  isForOperator: boolean,
): ProviderError {
  const detail = details.filter((one) => one !== undefined).join(', ');
  const suffix = isForOperator || code === 'upstream-quota-spent' ? FOR_THE_OPERATOR : '';
  return new ProviderError(code, WHAT_HAPPENED[code] + suffix, detail === '' ? {} : { detail });
}

/** The error of a request that failed before there was a response. */
export function errorOfConnecting(error: unknown): ProviderError {
  const code = systemCode(error);
  // It is neither the network nor the server: undici refuses the request itself, so a retry would not help.
  if (code === undefined || OUR_FAULTS.has(code))
    return new ProviderError(
      'upstream-refused',
      `no request can be sent to the model server as it is configured${FOR_THE_OPERATOR}`,
      {
        detail: code,
      },
    );
  if (code.startsWith('HPE_')) return malformed(`the model server does not speak HTTP${FOR_THE_OPERATOR}`, code);
  return new ProviderError('upstream-unreachable', 'the model server cannot be reached', { detail: code });
}

const OUR_FAULTS: ReadonlySet<string> = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED']);

export function redirected(): ProviderError {
  return new ProviderError('upstream-refused', `the model server redirects${FOR_THE_OPERATOR}`);
}

/** The error of a body that broke while it was read. */
export function errorOfReading(error: unknown): ProviderError {
  const code = systemCode(error);
  if (code !== undefined && /^(?:HPE_|Z_|ERR_BROTLI_|ERR__ERROR_)/.test(code))
    return malformed("the model server's answer cannot be decoded", code);
  return truncated(code);
}

export function timedOut(): ProviderError {
  return new ProviderError('upstream-timeout', 'the model server was silent for too long');
}

export function truncated(code?: string): ProviderError {
  return new ProviderError('upstream-truncated', "the model server's answer broke off before its end", {
    detail: code,
  });
}

/** The answer ended without any content. */
export function neverBegan(): ProviderError {
  return new ProviderError('upstream-truncated', "the model server's answer ended before it began");
}

export function malformed(message: string, detail?: string): ProviderError {
  return new ProviderError('upstream-malformed', message, { detail });
}

export function tooLarge(what: string, limit: number): ProviderError {
  return new ProviderError('upstream-too-large', `${what} of the model server is over its limit of ${limit}`);
}

/** The error object in the JSON of an error's body; undefined when there is none. */
export function errorIn(json: unknown): unknown {
  const body: unknown = Array.isArray(json) ? json[0] : json;
  if (!isObject(body)) return undefined;
  return body['error'] ?? body;
}

/** The error's own code or type, if it is a known word. */
function errorWord(error: unknown): string | undefined {
  if (!isObject(error)) return undefined;
  return [error['code'], error['type']].find(
    (word): word is string => typeof word === 'string' && KNOWN_WORDS.has(word),
  );
}

const WHAT_HAPPENED = {
  'upstream-rate-limited': 'the model server asks for fewer requests',
  'upstream-quota-spent': 'the quota at the model server is spent',
  'upstream-refused': 'the model server refused the request',
  'upstream-error': 'the model server failed',
} as const satisfies Partial<Record<ProviderErrorCode, string>>;

type FailureCode = keyof typeof WHAT_HAPPENED;

function codeOfStatus(status: number): FailureCode {
  if (status === 429) return 'upstream-rate-limited';
  if (status >= 400 && status < 500 && status !== 408 && status !== 409) return 'upstream-refused';
  return 'upstream-error';
}

/** For an error without an HTTP status. The first match decides; the words are compared, and never shown. */
const CODES_BY_WORD: readonly (readonly [RegExp, FailureCode])[] = [
  [/rate_?limit|too_?many_?requests|throttl|resource_?exhausted/i, 'upstream-rate-limited'],
  [/overload|unavailable|internal|server_?error|time_?out|gateway/i, 'upstream-error'],
  [
    /invalid|context_(?:length|size|window)|exceed_context|authentication|permission|forbidden|unauthor|not_?found|unsupported|bad_?request|content_?(?:filter|policy)|moderation|safety/i,
    'upstream-refused',
  ],
];

function codeOfWords(error: unknown): FailureCode {
  const words = wordsOf(error);
  if (isQuotaSpent(undefined, error)) return 'upstream-quota-spent';
  return CODES_BY_WORD.find(([pattern]) => words.some((word) => pattern.test(word)))?.[1] ?? 'upstream-error';
}

/** Whether the quota is used up, so that a retry fails until somebody pays. A limit per minute does not count. */
function isQuotaSpent(status: number | undefined, error: unknown): boolean {
  if (status === 402) return true;
  if (status !== undefined && status !== 429 && status !== 403 && status !== 400) return false;
  if (wordsOf(error).some((word) => QUOTA_WORD.test(word))) return true;
  const message = isObject(error) ? error['message'] : error;
  if (typeof message !== 'string') return false;
  const start = message.slice(0, MESSAGE_CHARS_MAX);
  return QUOTA_SENTENCE.test(start) && !LIMIT_SENTENCE.test(start);
}

/** Code units of an error that are examined: the time of the patterns grows faster than the text. */
const WORD_CHARS_MAX = 128;
const MESSAGE_CHARS_MAX = 512;

const QUOTA_WORD =
  /insufficient_?(?:\w+_)?(?:quota|balance|credits?|funds?)|quota_?(?:is_)?(?:exceeded|exhausted|spent)|billing|arrear|payment_?required|(?:credit|balance)s?_?(?:exhausted|depleted|too_low)|out_of_credits?/i;
const QUOTA_SENTENCE =
  /exceeded your (?:current |monthly )?quota|insufficient (?:quota|balance|credits?|funds)|(?:credit|balance)\w* (?:is |are )?(?:too low|exhausted|depleted|used up|insufficient)|quota (?:is |has been )?(?:spent|used up|exhausted)|billing/i;
const LIMIT_SENTENCE = /per[ _-]?(?:second|minute|hour|day)|rate[ _-]?limit|retry (?:in|after)/i;

/** The words with which an error classifies itself. */
function wordsOf(error: unknown): string[] {
  if (typeof error === 'string') return /^[\w.-]{1,64}$/.test(error) ? [error] : [];
  if (!isObject(error)) return [];
  return [error['code'], error['type'], error['status'], error['reason']].filter(
    (word): word is string => typeof word === 'string' && word.length <= WORD_CHARS_MAX,
  );
}

/** An HTTP status, as a number or as text. */
function statusIn(error: unknown): number | undefined {
  if (!isObject(error)) return undefined;
  for (const value of [
    error['code'],
    error['status'],
    error['status_code'],
    error['statusCode'],
    error['http_status'],
  ]) {
    const status = typeof value === 'string' && /^[45]\d\d$/.test(value) ? Number(value) : value;
    if (typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599) return status;
  }
  return undefined;
}

function systemCode(error: unknown): string | undefined {
  const code = isObject(error) ? error['code'] : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
