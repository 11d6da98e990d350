// A Provider for any OpenAI-compatible Chat Completions server. This file starts the request and reads the body of the
// response; open-event-stream.ts sends and retries the request, and chat-completions-stream.ts interprets the body. The
// provider reads bytes only when its consumer asks for the next event, so the answer of a fast server does not fill the
// memory while the consumer is slow.
import assert from 'node:assert/strict';
import { Agent, type Dispatcher } from 'undici';
import type { Clock } from '../../../base/clock.ts';
import { ProviderError, type Provider, type ProviderEvent, type ProviderRequest } from '../../provider.ts';
import { ChatCompletionsStream } from './chat-completions-stream.ts';
import { completionBody, type Prefill } from './completion-request.ts';
import { openEventStream, type Upstream } from '../upstream/open-event-stream.ts';
import type { ByteQueue } from '../upstream/byte-queue.ts';
import { UpstreamCall } from '../upstream/upstream-call.ts';
import { errorOfReading, timedOut } from '../upstream/upstream-errors.ts';
import { DEFAULT_UPSTREAM_LIMITS, type UpstreamLimits } from '../upstream/upstream-limits.ts';

export interface OpenAiProviderOptions {
  /** Including the version, as in OpenAI's own clients: `http://gpu:8000/v1`. A query is kept. */
  readonly baseUrl: string;
  /** Sent as a bearer token. Default: none. */
  readonly apiKey?: string;
  readonly clock: Clock;
  /** In [0, 1), for the jitter. */
  readonly random: () => number;
  readonly limits?: Partial<UpstreamLimits>;
  /** Default: none. Whether a server continues from a prefix depends on the model's chat template too, so the
   *  operator has to set it. */
  readonly prefill?: Prefill;
  /** Makes the connections. Default: direct ones, kept for the next request. */
  readonly dispatcher?: Dispatcher;
  /** Sends the tenant of each run as FAIRNESS_HEADER. Default: false. */
  readonly sendsTenant?: boolean;
}

/** By this header an inference gateway shares its model servers fairly. [Gateway API Inference Extension, flow
 *  control] */
const FAIRNESS_HEADER = 'x-gateway-inference-fairness-id';

/** @throws TypeError for options that can never work; its message carries neither the URL nor the key */
export function createOpenAiProvider(options: OpenAiProviderOptions): Provider {
  const upstream: Upstream = {
    url: completionsUrl(options.baseUrl),
    headers: requestHeaders(options.apiKey),
    dispatcher: options.dispatcher ?? new Agent(),
    clock: options.clock,
    random: options.random,
    limits: { ...DEFAULT_UPSTREAM_LIMITS, ...options.limits },
    omitted: new Set(),
  };
  const { prefill = 'none', sendsTenant = false } = options;
  const canContinue = prefill !== 'none';
  return {
    canContinue,
    stream: (request) => {
      assert.ok(canContinue || request.prefix === undefined, 'a prefix for a provider that cannot continue');
      return streamAnswer(sendsTenant ? ofTenant(upstream, request.run.tenant) : upstream, request, prefill);
    },
  };
}

// One generator, not two that delegate: every token would pay for the second.
async function* streamAnswer(
  upstream: Upstream,
  request: ProviderRequest,
  prefill: Prefill,
): AsyncGenerator<ProviderEvent, void, undefined> {
  const { clock, limits } = upstream;
  const call = new UpstreamCall(clock, request.signal);
  const answer = new ChatCompletionsStream(limits);
  let body: ByteQueue | undefined;
  /** When the last event came, once the finish reason has arrived. */
  let finishedAt: number | undefined;
  try {
    body = await openEventStream(upstream, (omitted) => completionBody(request, prefill, omitted), call);
    if (body === undefined) return;
    while (!answer.over) {
      const bytes = await readBytes(body, call, answer.isFinishing);
      if (call.aborted) return;
      call.expectNothing();
      if (bytes === SILENCE) answer.endSilently();
      else if (bytes instanceof ProviderError) answer.breakOff(bytes);
      else if (bytes === undefined) answer.end();
      else answer.push(bytes);
      const events = answer.take();
      for (const event of events) yield event;
      if (!answer.isFinishing) {
        call.expectBytesWithin(limits.idleTimeoutMs);
        continue;
      }
      // Usage may follow, or not; a heartbeat does not extend the wait.
      if (finishedAt === undefined || events.length > 0) finishedAt = clock.mono();
      call.expectBytesWithin(Math.max(0, finishedAt + limits.finishTimeoutMs - clock.mono()));
    }
    if (answer.fault !== undefined) throw answer.fault;
  } finally {
    if (body !== undefined && answer.over && answer.fault === undefined) void drain(body, call, limits);
    else call.close();
  }
}

/** Waits for the end of the response, a moment after [DONE]. That keeps the connection open, and saves the next
 *  request the round trips of a new one. Nobody awaits this; it never rejects, and it closes the call. */
async function drain(body: ByteQueue, call: UpstreamCall, limits: UpstreamLimits): Promise<void> {
  call.expectBytesWithin(limits.drainTimeoutMs);
  let left: number = limits.drainBytesMax;
  while (left > 0) {
    const bytes = await body.read().catch(() => undefined);
    if (bytes === undefined) break;
    left -= bytes.length;
  }
  call.close();
}

/** Undefined at a clean end, and when the caller aborted; an error where the body broke or stalled. `isFinishing`:
 *  silence ends the answer. */
async function readBytes(
  body: ByteQueue,
  call: UpstreamCall,
  isFinishing: boolean,
): Promise<Buffer | typeof SILENCE | ProviderError | undefined> {
  try {
    return await body.read();
  } catch (error) {
    if (call.aborted) return undefined;
    if (!call.silent) return errorOfReading(error);
  }
  return isFinishing ? SILENCE : timedOut();
}

const SILENCE = 'silence';

function ofTenant(upstream: Upstream, tenant: string): Upstream {
  return { ...upstream, headers: { ...upstream.headers, [FAIRNESS_HEADER]: tenant } };
}

function completionsUrl(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new TypeError('the base URL of the model server is not an http URL');
  // A request would be sent without the credentials of its URL.
  if (url.username !== '' || url.password !== '')
    throw new TypeError('the base URL of the model server carries credentials; give the key apart');
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/chat/completions`;
  url.hash = '';
  return url;
}

function requestHeaders(apiKey: string | undefined): Record<string, string> {
  // No compression: a compressor between us and the model buffers tokens.
  const headers = {
    'content-type': 'application/json',
    accept: 'text/event-stream',
    'accept-encoding': 'identity',
    'user-agent': 'holdline',
  };
  if (apiKey === undefined) return headers;
  // undici would refuse every request.
  if (!/^[\x21-\x7e]+$/.test(apiKey))
    throw new TypeError('the key of the model server has characters that no header can carry');
  return { ...headers, authorization: `Bearer ${apiKey}` };
}
