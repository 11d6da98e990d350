// Decides whether an event of a model server reports a failure. Servers report failures in many ways inside a response
// with status 200, and each of them must end the run as failed, never as completed. Pure; docs/model-servers.md has the
// table.
import type { ProviderError } from '../../provider.ts';
import { errorOfObject } from '../upstream/upstream-errors.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The failure that an event reports in any of its fields; undefined for none. `name`: the name of the event. */
export function reportedFailure(name: string | undefined, event: Fields): ProviderError | undefined {
  const error = errorField(event) ?? (event['object'] === 'error' ? event : undefined);
  if (error !== undefined) return errorOfObject(error);
  if (name !== undefined && NAMES_A_FAILURE.test(name)) return errorOfObject(event);
  return undefined;
}

/** The failure that a choice reports, in its own field or in one of its delta. */
export function choiceFailure(choice: Fields): ProviderError | undefined {
  const { delta, message } = choice;
  const error =
    errorField(choice) ??
    (isFields(delta) ? errorField(delta) : undefined) ??
    (isFields(message) ? errorField(message) : undefined);
  return error === undefined ? undefined : errorOfObject(error);
}

/** The failure in an event without text: in the event itself, or in a vendor field. It examines every field, so it
 *  does not run for every token. */
export function failureInFields(event: Fields): ProviderError | undefined {
  for (const value of Object.values(event)) {
    if (!isFields(value)) continue;
    const error = errorField(value) ?? vendorStatus(value);
    if (error !== undefined) return errorOfObject(error);
  }
  return event['choices'] === undefined || event['choices'] === null ? bareFailure(event) : undefined;
}

/** The failure in a line `error: …`, or in an event with the name of an error. `text`: JSON or not. */
export function failureOfText(text: string): ProviderError {
  return errorOfObject(jsonOf(text));
}

/** Whether a line that is no field of an event stream is the text of an error, as proxies write it. Field names have
 *  no spaces. */
export function isErrorText(line: string): boolean {
  return !/^[^\s:]+:/.test(line) && ERROR_WORD.test(line.slice(0, TEXT_CHARS_MAX));
}

const ERROR_WORD =
  /\b(?:errors?|exception|traceback|timed? ?out|unavailable|bad gateway|overloaded|failed|failure|disconnected)\b/i;
/** Code units of a line that are examined. */
const TEXT_CHARS_MAX = 512;

/** Whether the field name of a line, or the name of an event, announces a failure. */
export const NAMES_A_FAILURE = /^\s*"?(?:[\w.-]*[._-])?(?:error|err|exception|failed|failure|fatal)"?\s*$/i;

/** Undefined for an empty value of any kind: some servers write `"error": null` into every chunk. */
function errorField(fields: Fields): unknown {
  const { error } = fields;
  if (error === undefined || error === null || error === false || error === '' || error === 0) return undefined;
  if (typeof error === 'string' && /^(?:null|none|no|false|ok)$/i.test(error)) return undefined;
  if (isFields(error) && (Object.keys(error).length === 0 || saysOk(error))) return undefined;
  return error;
}

/** `{"error": {"code": 0, "message": "success"}}` */
function saysOk({ code, message }: Fields): boolean {
  return (
    (code === 0 || code === '0' || code === 200 || code === null || code === undefined) &&
    typeof message === 'string' &&
    GOOD_WORD.test(message)
  );
}

/** `{"base_resp": {"status_code": 1004}}`: one level down, a status counts only under these two names. */
function vendorStatus(fields: Fields): unknown {
  const status = fields['status_code'] ?? fields['error_code'];
  return isBadCode(status) ? { ...fields, code: status } : undefined;
}

/** An event without choices that is an error by itself. */
function bareFailure(event: Fields): ProviderError | undefined {
  const code = firstOf(event, ['code', 'error_code', 'errorCode', 'errcode', 'err_code', 'status_code', 'statusCode']);
  const message = firstOf(event, [
    'message',
    'msg',
    'detail',
    'error_message',
    'errorMessage',
    'error_msg',
    'errmsg',
    'err_msg',
    'title',
  ]);
  const hasMessage = typeof message === 'string' && message !== '' && !GOOD_WORD.test(message);
  const isFailure =
    (isBadCode(code) && (hasMessage || typeof code === 'number')) ||
    (typeof event['type'] === 'string' && /error|exception|fail/i.test(event['type'])) ||
    isBadStatus(event['status']) ||
    event['success'] === false ||
    isFullList(event['errors']) ||
    isFullList(event['detail']) ||
    isFields(event['fault']) ||
    // A message without anything that classifies it: some gateways report errors so. With a type or a status it may be
    // a note.
    (hasMessage &&
      event['type'] === undefined &&
      event['status'] === undefined &&
      event['event'] === undefined &&
      !isGoodCode(code));
  return isFailure ? errorOfObject(event) : undefined;
}

const GOOD_WORD = /^\s*(?:ok|success(?:ful(?:ly)?)?|succeeded|done|completed?)\W*$/i;

function isBadCode(code: unknown): boolean {
  if (typeof code === 'number') return code !== 0 && (code < 200 || code > 299);
  return typeof code === 'string' && code !== '' && !isGoodCode(code);
}

function isGoodCode(code: unknown): boolean {
  return (
    (typeof code === 'number' && !isBadCode(code)) ||
    (typeof code === 'string' && (GOOD_WORD.test(code) || /^(?:0+|2\d\d)$/.test(code)))
  );
}

function isBadStatus(status: unknown): boolean {
  if (typeof status === 'number') return status >= 400;
  return (
    typeof status === 'string' &&
    (/^(?:error|fail(?:ed|ure)?|aborted|cancell?ed)$/i.test(status) || /^[45]\d\d$/.test(status))
  );
}

function isFullList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function firstOf(fields: Fields, names: readonly string[]): unknown {
  for (const name of names) if (fields[name] !== undefined && fields[name] !== null) return fields[name];
  return undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
