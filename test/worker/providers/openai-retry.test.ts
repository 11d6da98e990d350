// Which failures get a second attempt, when, and how often: only before the first token. Real sockets, a manual clock.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createOpenAiProvider } from '../../../src/worker/providers/openai/openai-provider.ts';
import { ATTEMPTS_MAX, FIRST_BYTE_TIMEOUT_MS } from '../../../src/worker/providers/upstream/upstream-limits.ts';
import {
  answer,
  CUT,
  errorReply,
  RESET,
  ScriptedUpstream,
  sse,
  STALL,
  textEvent,
  type Reply,
  type Script,
} from '../../support/scripted-upstream.ts';
import { timeLimit } from '../../support/slowness.ts';
import { collect, requestOf, textIn } from './collect.ts';
import { WatchedClock } from './watched-clock.ts';

let upstream: ScriptedUpstream | undefined;
let clock = new WatchedClock();

afterEach(async () => {
  await upstream?.close();
  upstream = undefined;
  await vi.waitFor(() => expect(clock.timers).toBe(0), { timeout: timeLimit(5_000) });
});

async function start(script: Script, signal = new AbortController().signal) {
  clock = new WatchedClock();
  const started = await ScriptedUpstream.start(script);
  upstream = started;
  const provider = createOpenAiProvider({ baseUrl: started.baseUrl, clock, random: () => 0.5 });
  const outcome = collect(provider, requestOf('x', { signal }));
  expect(await clock.nextTimer()).toBe(FIRST_BYTE_TIMEOUT_MS);
  return { outcome, upstream: started };
}

/** The next back-off, once it has begun. */
async function backOff(expectedMs: number): Promise<void> {
  expect(await clock.nextTimer()).toBe(expectedMs);
  await clock.advance(expectedMs);
}

describe('a second attempt', () => {
  it.each<[string, Reply]>([
    ['408', errorReply(408)],
    ['409', errorReply(409)],
    ['429', errorReply(429)],
    ['500', errorReply(500)],
    ['502 from a proxy', { status: 502, headers: { 'content-type': 'text/html' }, steps: ['<h1>Bad gateway</h1>'] }],
    ['503', errorReply(503)],
    ['a reset before the answer', { steps: [RESET] }],
    ['a socket closed before the answer', { steps: [CUT] }],
  ])('follows %s', async (_what, reply) => {
    const { outcome, upstream } = await start([reply, answer('a', 'b')]);
    await backOff(250);
    const { events, error } = await outcome;
    expect(error).toBeUndefined();
    expect(textIn(events)).toBe('ab');
    expect(upstream.requests).toHaveLength(2);
    expect(upstream.requests[1]?.body).toEqual(upstream.requests[0]?.body);
  });

  it.each<[string, Reply, string]>([
    ['400', errorReply(400), 'upstream-refused'],
    ['401', errorReply(401), 'upstream-refused'],
    ['404', errorReply(404), 'upstream-refused'],
    ['a redirect', { status: 307, headers: { location: '/v2' } }, 'upstream-refused'],
    ['an error object', { steps: [sse({ error: { code: 500 } })] }, 'upstream-error'],
    ['a cut after the first token', { steps: [textEvent('a'), CUT] }, 'upstream-truncated'],
    ['an error after the first token', { steps: [textEvent('a'), sse({ error: { code: 503 } })] }, 'upstream-error'],
  ])('does not follow %s', async (_what, reply, code) => {
    const { outcome, upstream } = await start([reply, answer('b')]);
    expect((await outcome).error?.code).toBe(code);
    expect(upstream.requests).toHaveLength(1);
  });

  it('does not follow silence: its time is used up', async () => {
    const { outcome, upstream } = await start([{ steps: [STALL] }, answer('b')]);
    await upstream.request(0);
    await clock.advance(FIRST_BYTE_TIMEOUT_MS);
    expect((await outcome).error?.code).toBe('upstream-timeout');
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('the back-off', () => {
  it('grows, and ends with the attempts', async () => {
    const { outcome, upstream } = await start([errorReply(503)]);
    await backOff(250);
    await backOff(500);
    await backOff(1000);
    expect((await outcome).error).toMatchObject({ code: 'upstream-error', retryable: true });
    expect(upstream.requests).toHaveLength(ATTEMPTS_MAX);
  });

  it('honours Retry-After in seconds', async () => {
    const { outcome } = await start([errorReply(429, {}, { 'retry-after': '3' }), answer('a')]);
    await backOff(3250);
    expect((await outcome).error).toBeUndefined();
  });

  it('honours Retry-After as a date, by the wall clock', async () => {
    const { outcome } = await start([
      errorReply(503, {}, { 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }),
      answer('a'),
    ]);
    await backOff(9250);
    expect((await outcome).error).toBeUndefined();
  });

  it('does not begin when the server requires too long a wait', async () => {
    const { outcome, upstream } = await start([errorReply(429, {}, { 'retry-after': '3600' }), answer('a')]);
    expect((await outcome).error?.code).toBe('upstream-rate-limited');
    expect(upstream.requests).toHaveLength(1);
  });

  it('ends at once with an abort', async () => {
    const controller = new AbortController();
    const { outcome, upstream } = await start([errorReply(503), answer('a')], controller.signal);
    expect(await clock.nextTimer()).toBe(250);
    controller.abort();
    expect(await outcome).toEqual({ events: [], error: undefined });
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('a limit of output tokens', () => {
  const PREFERS_NEWER = errorReply(400, {
    message:
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
  });

  async function limited(...script: [Reply, ...Reply[]]) {
    clock = new WatchedClock();
    upstream = await ScriptedUpstream.start(script);
    const provider = createOpenAiProvider({ baseUrl: upstream.baseUrl, clock, random: () => 0.5 });
    const ask = () => collect(provider, requestOf('x', { options: { maxOutputTokens: 7 } }));
    const fields = () =>
      upstream?.requests.map(({ body }) => {
        const { max_tokens, max_completion_tokens } = body as Record<string, unknown>;
        return [max_tokens, max_completion_tokens];
      });
    return { ask, fields };
  }

  it('is sent by the newer name to a server that asks for it, from then on', async () => {
    const { ask, fields } = await limited(PREFERS_NEWER, answer('a'), answer('b'));
    expect(textIn((await ask()).events)).toBe('a');
    expect(textIn((await ask()).events)).toBe('b');
    expect(fields()).toEqual([
      [7, undefined],
      [undefined, 7],
      [undefined, 7],
    ]);
  });

  it('is not sent again to a server that refuses its value', async () => {
    const { ask, fields } = await limited(errorReply(400, { message: 'max_tokens must be at most 5' }));
    expect((await ask()).error?.code).toBe('upstream-refused');
    expect(fields()).toEqual([[7, undefined]]);
  });
});
