// Reads an HTTP answer whole, and gives refusals their meaning: from status and body to an error, and from the error to
// what an event stream does next. Pure.
import { parseRetryAfter } from './back-off.ts';
import { ChatClientError, ownError } from '../chat-client-error.ts';
import { isFields, parseWireError } from '../protocol/wire-codec.ts';
import type { WireEnd } from '../protocol/wire.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly text: string;
}

/** Bytes of one answer, decompressed. The server's largest answer is a page of a chat's history, far below this. */
export const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

/** @throws ChatClientError not-holdline if the body is longer than ANSWER_BYTES_MAX */
export async function readAnswer(response: Response): Promise<HttpAnswer> {
  return { status: response.status, retryAfter: response.headers.get('retry-after'), text: await readText(response) };
}

/** Counts while it reads: some kilobytes of a compressed body can become gigabytes of text. */
async function readText(response: Response): Promise<string> {
  const reader = readerOf(response);
  // An answer without a body, or a platform whose fetch has no streams: the text comes in one piece.
  if (reader === undefined) return response.text();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (let { value } = await reader.read(); value !== undefined; { value } = await reader.read()) {
    bytes += value.byteLength;
    if (bytes > ANSWER_BYTES_MAX) {
      // Closes the connection; a failed one is closed already.
      await reader.cancel().catch(() => undefined);
      throw ownError('not-holdline', `the answer is longer than ${ANSWER_BYTES_MAX} bytes`, {
        status: response.status,
      });
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}

/** Undefined where the answer has no body, or the platform's fetch has no streams: React Native defines neither `body`
 *  nor the class ReadableStream, and another fetch may have a stream class of its own. */
export function readerOf(response: Response): ReadableStreamDefaultReader<Uint8Array> | undefined {
  const body = response.body as Partial<ReadableStream<Uint8Array>> | null | undefined;
  return body?.getReader?.();
}

export function isSuccess(answer: HttpAnswer): boolean {
  return answer.status >= 200 && answer.status < 300;
}

export function errorOf(answer: HttpAnswer, nowMs: number): ChatClientError {
  const body = parseJson(answer.text);
  const given = isFields(body) ? body['error'] : undefined;
  const fallback = FALLBACK_CODES.get(answer.status) ?? `http-${answer.status}`;
  const error = parseWireError(given, fallback);
  // A proxy in between answers without the server's body: then only the status counts.
  const saysRetryable = isFields(given) && typeof given['retryable'] === 'boolean';
  const retryAfterMs = parseRetryAfter(answer.retryAfter, nowMs);
  return new ChatClientError(error.code, error.message, {
    status: answer.status,
    retryable: saysRetryable ? error.retryable : isPassing(answer.status),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(isFields(given) && given['details'] !== undefined ? { details: given['details'] } : {}),
  });
}

/** What a refused event stream does next. */
export function wireEndOf(error: ChatClientError): WireEnd {
  if (error.status === 401) return { kind: 'unauthorized' };
  if (error.retryAfterMs !== undefined) return { kind: 'later', afterMs: error.retryAfterMs };
  if (error.retryable || isPassing(error.status ?? 0)) return { kind: 'lost', detail: error.message };
  if (error.status === 404) return { kind: 'final', reason: 'not-found', detail: error.message };
  if (error.status === 403) return { kind: 'final', reason: 'forbidden', detail: error.message };
  return { kind: 'final', reason: 'refused', detail: error.message };
}

/** Undefined if the text is not JSON: then another server answered. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const FALLBACK_CODES: ReadonlyMap<number, string> = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not-found'],
  [429, 'too-many'],
  [503, 'unavailable'],
]);

function isPassing(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}
