// Sends a request until an answer opens, with every retry that is allowed. Before the first token nobody has seen
// anything, so 429, 5xx and a connection that was never made are retried; after it the run decides. The content type of
// an answer is ignored: servers and proxies label good event streams as JSON, text or HTML, so the bytes decide.
import type { Dispatcher } from 'undici';
import { delay, type Clock } from '../../../base/clock.ts';
import type { ProviderError } from '../../provider.ts';
import type { ByteQueue } from './byte-queue.ts';
import { refusedField, type OptionalField } from './optional-fields.ts';
import { parseRetryAfter, retryDelayMs } from './retry-schedule.ts';
import { sendRequest, type UpstreamResponse } from './send-request.ts';
import type { UpstreamCall } from './upstream-call.ts';
import { errorIn, errorOfConnecting, errorOfStatus, malformed, redirected, timedOut } from './upstream-errors.ts';
import type { UpstreamLimits } from './upstream-limits.ts';

/** What every call to a model server needs. */
export interface Upstream {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Makes the connections, and keeps them for the next request. */
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly random: () => number;
  readonly limits: UpstreamLimits;
  /** The fields that this server is known to refuse; at most all of OPTIONAL_FIELDS. */
  readonly omitted: Set<OptionalField>;
}

/** How one attempt ended. `again`: whether the same request may be retried. `refusal`: the server's own answer. */
type Attempt =
  | { readonly type: 'open'; readonly body: ByteQueue }
  | {
      readonly type: 'failed';
      readonly error: ProviderError;
      readonly again: boolean;
      readonly retryAfterMs?: number | undefined;
      readonly refusal?: { readonly status: number; readonly text: string };
    };

/** Undefined when the caller aborted. The timeout of the first byte keeps running. `requestBody` returns the body
 *  without some fields. @throws ProviderError */
export async function openEventStream(
  upstream: Upstream,
  requestBody: (omitted: ReadonlySet<OptionalField>) => string,
  call: UpstreamCall,
): Promise<ByteQueue | undefined> {
  const { clock, limits } = upstream;
  const startedAt = clock.mono();
  const omitted = new Set(upstream.omitted);
  for (let attempts = 1; ;) {
    call.expectBytesWithin(limits.firstByteTimeoutMs);
    const attempt = await attemptOnce(upstream, requestBody(omitted), call);
    if (attempt.type === 'open') {
      // Stored only after a success: a refusal that recurs without the field had another reason.
      for (const field of omitted) upstream.omitted.add(field);
      return attempt.body;
    }
    if (call.aborted) return undefined;
    call.expectNothing();
    const { error, again, retryAfterMs, refusal: refused } = attempt;
    const field = refused === undefined ? undefined : refusedField(refused.status, refused.text, omitted);
    if (field !== undefined) {
      omitted.add(field);
      continue;
    }
    const elapsedMs = clock.mono() - startedAt;
    const waitMs = again
      ? retryDelayMs({ attempts, elapsedMs, retryAfterMs, dice: upstream.random() }, limits)
      : undefined;
    if (waitMs === undefined) throw error;
    await delay(clock, waitMs, call.signal);
    attempts += 1;
  }
}

async function attemptOnce(upstream: Upstream, requestBody: string, call: UpstreamCall): Promise<Attempt> {
  let response: UpstreamResponse;
  try {
    const { dispatcher, url, headers } = upstream;
    response = await sendRequest(dispatcher, { url, headers, body: requestBody }, call.signal);
  } catch (error) {
    if (call.silent) return { type: 'failed', error: timedOut(), again: false };
    const mapped = errorOfConnecting(error);
    return { type: 'failed', error: mapped, again: mapped.code === 'upstream-unreachable' };
  }
  if (response.status === 204 || response.status === 205)
    return { type: 'failed', error: malformed('the answer of the model server has no body'), again: false };
  if (response.status < 300) return { type: 'open', body: response.body };
  const refusal = await readRefusal(response, upstream, call);
  response.cancel();
  return refusal;
}

/** Not followed: the key and the prompt are for the address in the configuration. */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

async function readRefusal(response: UpstreamResponse, upstream: Upstream, call: UpstreamCall): Promise<Attempt> {
  const { status, headers, body } = response;
  if (REDIRECTS.has(status)) return { type: 'failed', error: redirected(), again: false };
  const text = await readText(body, upstream.limits);
  const error = errorOfStatus(status, errorIn(parseJson(text)));
  // A body that stalled has ended the call, so no retry is possible.
  if (call.silent) return { type: 'failed', error, again: false };
  const retryAfterMs = parseRetryAfter(headers['retry-after'], upstream.clock.now());
  return { type: 'failed', error, again: error.retryable, retryAfterMs, refusal: { status, text } };
}

/** The text of an error's body, up to the limit. The status alone decides the error, whatever happens to the body. */
async function readText(body: ByteQueue, limits: UpstreamLimits): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  try {
    for (let part = await body.read(); part !== undefined; part = await body.read()) {
      bytes += part.length;
      if (bytes > limits.errorBodyBytesMax) break;
      text += decoder.decode(part, { stream: true });
    }
  } catch {
    // The connection broke.
  }
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
