// From a request to an open event stream, with every second attempt that is allowed: before the first token nothing
// was shown to anybody, so 429, 5xx and a connection that was never made may be asked again. After it nobody here
// asks again; that is for the run to decide.
import { delay, type Clock } from '../../clock.ts';
import type { ProviderError } from '../provider.ts';
import { parseRetryAfter, retryDelayMs } from './retry-schedule.ts';
import type { Reader, UpstreamCall } from './upstream-call.ts';
import { errorIn, errorOfConnecting, errorOfObject, errorOfStatus, errorWord, malformed, timedOut } from './upstream-errors.ts';
import type { UpstreamLimits } from './upstream-limits.ts';

/** A model server as every call to it needs it. */
export interface Upstream {
  readonly url: string;
  readonly headers: Headers;
  readonly clock: Clock;
  readonly random: () => number;
  readonly limits: UpstreamLimits;
}

type Body = ReadableStream<Uint8Array>;

/** How one attempt ended. */
type Attempt =
  | { readonly type: 'open'; readonly body: Body }
  | { readonly type: 'failed'; readonly error: ProviderError; readonly again: boolean; readonly retryAfterMs?: number | undefined };

/** Undefined when the caller aborted. The watch for the first byte is left running. @throws ProviderError */
export async function openEventStream(upstream: Upstream, requestBody: string, call: UpstreamCall): Promise<Body | undefined> {
  const { clock, limits } = upstream;
  const startedAt = clock.mono();
  for (let attempts = 1; ; attempts += 1) {
    call.expectBytesWithin(limits.firstByteTimeoutMs);
    const attempt = await attemptOnce(upstream, requestBody, call);
    if (attempt.type === 'open') return attempt.body;
    if (call.aborted) return undefined;
    call.expectNothing();
    const { error, again, retryAfterMs } = attempt;
    const elapsedMs = clock.mono() - startedAt;
    const waitMs = again ? retryDelayMs({ attempts, elapsedMs, retryAfterMs, dice: upstream.random() }, limits) : undefined;
    if (waitMs === undefined) throw error;
    await delay(clock, waitMs, call.signal);
  }
}

async function attemptOnce(upstream: Upstream, requestBody: string, call: UpstreamCall): Promise<Attempt> {
  let response: Response;
  try {
    const { url, headers } = upstream;
    response = await fetch(url, { method: 'POST', headers, body: requestBody, redirect: 'error', signal: call.signal });
  } catch (error) {
    if (call.silent) return { type: 'failed', error: timedOut(), again: false };
    const mapped = errorOfConnecting(error);
    return { type: 'failed', error: mapped, again: mapped.code === 'upstream-unreachable' };
  }
  if (!response.ok) return refusal(response, upstream, call);
  const { body } = response;
  if (body === null) return { type: 'failed', error: malformed('the answer of the model server has no body'), again: false };
  // Only what is surely something else: servers send event streams as text/plain, or without a type.
  if (!/\b(?:json|html|xml)\b/i.test(response.headers.get('content-type') ?? '')) return { type: 'open', body };
  return { type: 'failed', error: errorInsteadOfStream(await readJson(call.readerOf(body), upstream.limits), call), again: false };
}

async function refusal(response: Response, upstream: Upstream, call: UpstreamCall): Promise<Attempt> {
  const json = response.body === null ? undefined : await readJson(call.readerOf(response.body), upstream.limits);
  const error = errorOfStatus(response.status, errorWord(errorIn(json)));
  const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), upstream.clock.now());
  // A body that stalled has ended the call, and with it every further attempt.
  return { type: 'failed', error, again: error.retryable && !call.silent, retryAfterMs };
}

function errorInsteadOfStream(json: unknown, call: UpstreamCall): ProviderError {
  if (call.silent) return timedOut();
  const error = errorIn(json);
  return error === undefined ? malformed('the model server did not answer with an event stream') : errorOfObject(error);
}

/** The JSON of an error's body, as far as it may be read; undefined when that gives none. */
async function readJson(reader: Reader, limits: UpstreamLimits): Promise<unknown> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  try {
    for (let { value } = await reader.read(); value !== undefined; { value } = await reader.read()) {
      bytes += value.length;
      if (bytes > limits.errorBodyBytesMax) return undefined;
      text += decoder.decode(value, { stream: true });
    }
    return JSON.parse(text) as unknown;
  } catch {
    // Broken off, or not JSON: what it says is only an addition to what its status said already.
    return undefined;
  } finally {
    // What is left of it closes the socket.
    await reader.cancel().catch(() => undefined);
  }
}
