// The HTTP half of the protocol [PROTOCOL §3]: adds the token, renews it once after a refusal, limits the time of an
// answer, and turns every failure into a ChatClientError. It does not repeat a call after a network fault: only the
// callers know which calls are safe to repeat (`outbox.ts`, `chat.ts`).
import { ChatClientError, ownError } from '../chat-client-error.ts';
import type { Environment } from '../environment.ts';
import { errorOf, isSuccess, parseJson, readAnswer } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';
import type { TokenSource } from './token-source.ts';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** A call whose answer takes longer is abandoned: on a half-open connection the answer would never come. */
export const CALL_TIMEOUT_MS = 20_000;
/** The same for an upload, whose bytes take their time on a slow line. */
const UPLOAD_TIMEOUT_MS = 10 * 60_000;

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below `/v1`, with its query. */
  readonly path: string;
  readonly body?: unknown;
  /** Sent as it is, in place of a JSON body. */
  readonly file?: { readonly bytes: Blob; readonly headers: Readonly<Record<string, string>> };
  readonly signal?: AbortSignal;
}

export class HttpApi {
  readonly #baseUrl: string;
  readonly #tokens: TokenSource;
  readonly #fetch: Fetch;
  readonly #environment: Environment;

  constructor(baseUrl: string, tokens: TokenSource, fetch: Fetch, environment: Environment) {
    this.#baseUrl = baseUrl.replace(/\/+$/, '');
    this.#tokens = tokens;
    this.#fetch = fetch;
    this.#environment = environment;
  }

  /** The JSON of a 2xx answer; undefined without a body. @throws ChatClientError */
  async call(call: Call): Promise<unknown> {
    const token = await hadToken(this.#tokens.current());
    let answer = await this.#ask(call, token);
    if (answer.status === 401) {
      const fresh = await hadToken(this.#tokens.renew(token));
      if (fresh !== undefined) answer = await this.#ask(call, fresh);
    }
    if (!isSuccess(answer)) throw errorOf(answer, this.#environment.now());
    if (answer.text === '') return undefined;
    const body = parseJson(answer.text);
    if (body === undefined) throw ownError('not-holdline', 'the answer is not JSON', { retryable: true });
    return body;
  }

  async #ask(call: Call, token: string): Promise<HttpAnswer> {
    const abort = new AbortController();
    const giveUp = (): void => abort.abort();
    const stopTimer = this.#environment.after(call.file === undefined ? CALL_TIMEOUT_MS : UPLOAD_TIMEOUT_MS, giveUp);
    call.signal?.addEventListener('abort', giveUp, { once: true });
    try {
      if (call.signal?.aborted === true) giveUp();
      const response = await this.#fetch(`${this.#baseUrl}/v1${call.path}`, {
        method: call.method,
        cache: 'no-store',
        signal: abort.signal,
        headers: {
          accept: 'application/json',
          authorization: `Bearer ${token}`,
          ...(call.file?.headers ?? (call.body === undefined ? {} : { 'content-type': 'application/json' })),
        },
        ...(call.file === undefined ? jsonBody(call.body) : { body: call.file.bytes }),
      });
      // The time limit also covers an answer that stops half-way.
      return await readAnswer(response);
    } catch (cause) {
      if (cause instanceof ChatClientError) throw cause;
      if (call.signal?.aborted === true) throw ownError('closed', 'closed before an answer came', { cause });
      const code = abort.signal.aborted ? 'timeout' : 'network';
      throw ownError(code, 'no answer from the server', { retryable: true, cause });
    } finally {
      stopTimer();
      call.signal?.removeEventListener('abort', giveUp);
    }
  }
}

function jsonBody(body: unknown): Pick<RequestInit, 'body'> {
  return body === undefined ? {} : { body: JSON.stringify(body) };
}

async function hadToken<T>(token: Promise<T>): Promise<T> {
  try {
    return await token;
  } catch (cause) {
    throw ownError('network', 'the token callback failed', { retryable: true, cause });
  }
}
