// The provider against a scripted server on a real socket: the request that it sends, every fault of a socket, and that
// no error contains a secret.
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  createOpenAiProvider,
  type OpenAiProviderOptions,
} from '../../../src/worker/providers/openai/openai-provider.ts';
import {
  DRAIN_TIMEOUT_MS,
  FIRST_BYTE_TIMEOUT_MS,
  IDLE_TIMEOUT_MS,
} from '../../../src/worker/providers/upstream/upstream-limits.ts';
import {
  answer,
  CUT,
  deltaEvent,
  DONE,
  errorReply,
  finishEvent,
  HEADERS,
  RESET,
  ScriptedUpstream,
  sse,
  STALL,
  textEvent,
  type Script,
} from '../../support/scripted-upstream.ts';
import { timeLimit } from '../../support/slowness.ts';
import { collect, nextEvent, requestOf, textIn, watchedSignal } from './collect.ts';
import { WatchedClock } from './watched-clock.ts';

const clock = new WatchedClock();
let upstream: ScriptedUpstream | undefined;

afterEach(async () => {
  await upstream?.close();
  upstream = undefined;
  await vi.waitFor(() => expect(clock.timers).toBe(0), { timeout: timeLimit(5_000) });
});

/** No second attempt by default: second attempts have their own tests. */
async function providerOf(script: Script, more: Partial<OpenAiProviderOptions> = {}) {
  const started = await ScriptedUpstream.start(script);
  upstream = started;
  const provider = createOpenAiProvider({
    baseUrl: started.baseUrl,
    clock,
    random: () => 0.5,
    ...more,
    limits: { attemptsMax: 1, ...more.limits },
  });
  return { provider, upstream: started };
}

describe('the request', () => {
  it('requests a stream with usage, with the messages as they came', async () => {
    const { provider, upstream } = await providerOf([answer('a')], { apiKey: 'sk-1' });
    const parts = [
      { type: 'text', text: 'look' },
      { type: 'image_url', image_url: { url: 'data:,' } },
    ];
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: parts, secret: 'of the session' },
    ] as const;
    await collect(provider, requestOf('', { messages, model: 'm-1' }));
    const request = await upstream.request(0);
    expect(request).toMatchObject({ method: 'POST', path: '/v1/chat/completions' });
    expect(request.headers).toMatchObject({
      authorization: 'Bearer sk-1',
      'content-type': 'application/json',
      accept: 'text/event-stream',
      'accept-encoding': 'identity',
    });
    expect(request.body).toEqual({
      model: 'm-1',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: parts },
      ],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('names the tenant of each run for a fair gateway, if it is told to', async () => {
    const { provider, upstream } = await providerOf([answer('a'), answer('b')], { sendsTenant: true, apiKey: 'sk-1' });
    const run = { tenant: 'acme', sessionId: 's1', runId: 'r1', attempt: 1 };
    await collect(provider, requestOf('', { run }));
    await collect(provider, requestOf('', { run: { ...run, tenant: 'other' } }));
    const headers = [(await upstream.request(0)).headers, (await upstream.request(1)).headers];
    expect(headers.map((one) => one['x-gateway-inference-fairness-id'])).toEqual(['acme', 'other']);
    expect(headers.map(({ authorization }) => authorization)).toEqual(['Bearer sk-1', 'Bearer sk-1']);
  });

  it('names no tenant by default', async () => {
    const { provider, upstream } = await providerOf([answer('a')]);
    await collect(provider, requestOf(''));
    expect((await upstream.request(0)).headers).not.toHaveProperty('x-gateway-inference-fairness-id');
  });

  it('has no authorization without a key', async () => {
    const { provider, upstream } = await providerOf([answer('a')]);
    await collect(provider, requestOf('x'));
    expect((await upstream.request(0)).headers.authorization).toBeUndefined();
  });

  it.each(['', '/', '//', '/?api-version=1', '#x'])('goes to the path under the base URL, written %j', async (tail) => {
    const { upstream } = await providerOf([answer('a')]);
    const provider = createOpenAiProvider({ baseUrl: upstream.baseUrl + tail, clock, random: Math.random });
    await collect(provider, requestOf('x'));
    expect((await upstream.request(0)).path).toBe(`/v1/chat/completions${tail.includes('?') ? '?api-version=1' : ''}`);
  });

  it.each([
    ['ftp://host/v1', undefined],
    ['CANARY', undefined],
    ['http://user:CANARY@host/v1', undefined],
    ['http://host/v1', 'CANARY\n'],
    ['http://host/v1', 'CANARY✓'],
  ])('that could never be sent is refused at once, quietly: %j %j', (baseUrl, apiKey) => {
    let thrown: unknown;
    try {
      createOpenAiProvider({ baseUrl, ...(apiKey !== undefined && { apiKey }), clock, random: Math.random });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(TypeError);
    expect(inspect(thrown)).not.toContain('CANARY');
  });
});

describe('continuing', () => {
  it('is only for servers that are configured as able to', async () => {
    const { provider } = await providerOf([answer('a')]);
    expect(provider.canContinue).toBe(false);
    expect(() => provider.stream(requestOf('x', { prefix: 'b' }))).toThrow('cannot continue');
  });

  it('gives vLLM the prefix as the last message', async () => {
    const { provider, upstream } = await providerOf([answer('lo')], { prefill: 'vllm' });
    expect(provider.canContinue).toBe(true);
    const { events } = await collect(provider, requestOf('x', { prefix: 'Hel' }));
    expect(textIn(events)).toBe('lo');
    expect((await upstream.request(0)).body).toMatchObject({
      messages: [
        { role: 'user', content: 'x' },
        { role: 'assistant', content: 'Hel' },
      ],
      continue_final_message: true,
      add_generation_prompt: false,
    });
  });

  it('gives other servers the prefix as the last message, without the fields of vLLM', async () => {
    const { provider, upstream } = await providerOf([answer('lo')], { prefill: 'assistant' });
    const { events } = await collect(provider, requestOf('x', { prefix: 'Hel' }));
    expect(textIn(events)).toBe('lo');
    expect((await upstream.request(0)).body).toEqual({
      model: 'some-model',
      messages: [
        { role: 'user', content: 'x' },
        { role: 'assistant', content: 'Hel' },
      ],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('from an empty prefix is an ordinary request', async () => {
    const { provider, upstream } = await providerOf([answer('lo')], { prefill: 'vllm' });
    await collect(provider, requestOf('x', { prefix: '' }));
    expect((await upstream.request(0)).body).toEqual(expect.not.objectContaining({ continue_final_message: true }));
    expect((await upstream.request(0)).body).toMatchObject({ messages: [{ role: 'user', content: 'x' }] });
  });
});

describe('an answer over a real socket', () => {
  it('is whole when it comes byte by byte, with CRLF and emoji', async () => {
    const bytes = Buffer.from(
      [textEvent('naïve 👩‍🚀'), ': ping\n\n', finishEvent(), DONE].join('').replaceAll('\n', '\r\n'),
    );
    const { provider } = await providerOf([
      { steps: Array.from(bytes, (_byte, index) => bytes.subarray(index, index + 1)) },
    ]);
    expect(await collect(provider, requestOf('x'))).toEqual({
      events: [
        { type: 'text', text: 'naïve 👩‍🚀' },
        { type: 'finish', reason: 'stop' },
      ],
      error: undefined,
    });
  });

  it('gives each token as it comes, not at the end of the answer', async () => {
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { provider } = await providerOf([{ steps: [textEvent('a'), gate, finishEvent(), DONE] }]);
    const stream = provider.stream(requestOf('x'))[Symbol.asyncIterator]();
    expect(await nextEvent(stream)).toEqual({ type: 'text', text: 'a' });
    release?.();
    expect(await nextEvent(stream)).toEqual({ type: 'finish', reason: 'stop' });
    expect((await stream.next()).done).toBe(true);
  });

  it('is accepted from servers that send it as plain text', async () => {
    const { provider } = await providerOf([
      { ...answer('a'), headers: { 'content-type': 'text/plain; charset=utf-8' } },
    ]);
    expect((await collect(provider, requestOf('x'))).error).toBeUndefined();
  });

  it('leaves the connection for the next answer', async () => {
    const { provider, upstream } = await providerOf([answer('a')]);
    for (let runs = 0; runs < 3; runs += 1) {
      expect((await collect(provider, requestOf('x'))).error).toBeUndefined();
      await vi.waitFor(() => expect(clock.timers).toBe(0), { timeout: timeLimit(5_000) });
    }
    expect(upstream.requests.map((request) => request.connection)).toEqual([0, 0, 0]);
  });

  it('ends with [DONE], and the connection of a server that then does not end is closed soon', async () => {
    const { provider, upstream } = await providerOf([{ steps: [textEvent('a'), finishEvent(), DONE, STALL] }]);
    expect((await collect(provider, requestOf('x'))).error).toBeUndefined();
    await clock.advance(DRAIN_TIMEOUT_MS);
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });

  it('ends with [DONE], and the connection of a server that then continues is closed too', async () => {
    function* endless(): Generator<string> {
      yield finishEvent() + DONE;
      for (;;) yield textEvent('x'.repeat(10_000));
    }
    const { provider, upstream } = await providerOf([{ steps: endless() }]);
    expect((await collect(provider, requestOf('x'))).events).toEqual([{ type: 'finish', reason: 'stop' }]);
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });
});

describe('an answer that breaks', () => {
  it.each([
    ['cut', [textEvent('a'), CUT], 'upstream-truncated'],
    ['reset', [textEvent('a'), RESET], 'upstream-truncated'],
    ['ended without a finish', [textEvent('a')], 'upstream-truncated'],
    ['ended before it began', [], 'upstream-truncated'],
    ['reset after the headers', [HEADERS, RESET], 'upstream-truncated'],
    ['reset after the finish reason, before its end', [textEvent('a'), finishEvent(), RESET], 'upstream-truncated'],
    ['an error inside', [textEvent('a'), sse({ error: { message: 'broken' } })], 'upstream-error'],
    ['not JSON', [textEvent('a'), sse('{')], 'upstream-malformed'],
  ])('%s: never a completion', async (_what, steps, code) => {
    const { provider } = await providerOf([{ steps }]);
    const { events, error } = await collect(provider, requestOf('x'));
    expect(error?.code).toBe(code);
    expect(error?.retryable).toBe(true);
    expect(events.filter((event) => event.type === 'finish')).toEqual([]);
  });

  it('gives the tokens before the fault', async () => {
    const { provider } = await providerOf([{ steps: [textEvent('a') + textEvent('b') + sse({ error: 'broken' })] }]);
    const { events, error } = await collect(provider, requestOf('x'));
    expect(textIn(events)).toBe('ab');
    expect(error?.code).toBe('upstream-error');
  });

  it('is left early at a token of 100 MB', async () => {
    function* huge(): Generator<string> {
      yield 'data: {"choices":[{"index":0,"delta":{"content":"';
      for (let sent = 0; sent < 100; sent += 1) yield 'x'.repeat(1024 * 1024);
      yield `"}}]}\n\n${DONE}`;
    }
    const { provider, upstream } = await providerOf([{ steps: huge() }]);
    expect((await collect(provider, requestOf('x'))).error).toMatchObject({
      code: 'upstream-too-large',
      retryable: false,
    });
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });

  it('that never ends is left at its limit', async () => {
    function* endless(): Generator<string> {
      for (;;) yield textEvent('x'.repeat(50_000));
    }
    const { provider, upstream } = await providerOf([{ steps: endless() }], { limits: { answerBytesMax: 1_000_000 } });
    const { events, error } = await collect(provider, requestOf('x'));
    expect(error?.code).toBe('upstream-too-large');
    expect(textIn(events)).toHaveLength(1_000_000);
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });
});

describe('an answer without an event stream', () => {
  const json = { 'content-type': 'application/json' };

  it.each([
    ['401', errorReply(401, { code: 'invalid_api_key' }), 'upstream-refused', 'HTTP 401, invalid_api_key'],
    [
      '400',
      errorReply(400, { code: null, type: 'invalid_request_error' }),
      'upstream-refused',
      'HTTP 400, invalid_request_error',
    ],
    [
      '404 of something else',
      { status: 404, headers: { 'content-type': 'text/html' }, steps: ['<h1>nginx</h1>'] },
      'upstream-refused',
      'HTTP 404',
    ],
    ['408', errorReply(408), 'upstream-error', 'HTTP 408'],
    ['409', errorReply(409), 'upstream-error', 'HTTP 409'],
    ['429', errorReply(429), 'upstream-rate-limited', 'HTTP 429'],
    ['500', errorReply(500), 'upstream-error', 'HTTP 500'],
    ['503 without a body', { status: 503 }, 'upstream-error', 'HTTP 503'],
    [
      '503 with a broken body',
      { status: 503, headers: json, steps: ['{"error"', RESET] },
      'upstream-error',
      'HTTP 503',
    ],
    [
      '200 with an error',
      { headers: json, steps: ['{"error":{"message":"no such model","type":"not_found_error"}}'] },
      'upstream-refused',
      'not_found_error',
    ],
    ['200 with half an object', { headers: json, steps: ['{"error":'] }, 'upstream-malformed', ''],
    ['a page', { headers: { 'content-type': 'text/html' }, steps: ['<p>Welcome</p>'] }, 'upstream-malformed', ''],
    ['204', { status: 204 }, 'upstream-malformed', ''],
    ['no answer', { steps: [RESET] }, 'upstream-unreachable', 'ECONNRESET'],
    ['a closed socket', { steps: [CUT] }, 'upstream-unreachable', 'UND_ERR_SOCKET'],
  ])('%s', async (what, reply, code, words) => {
    const { provider } = await providerOf([reply]);
    const { events, error } = await collect(provider, requestOf('x'));
    expect(events).toEqual([]);
    expect(error?.code).toBe(code);
    expect(error?.detail ?? '').toBe(words);
    // The message contains nothing that only an engineer understands.
    expect(error?.message).not.toMatch(/HTTP \d|_|[A-Z]{4}/);
    expect(error?.message.includes('whoever runs this service must look at it')).toBe(
      ['401', '404 of something else', '200 with an error'].includes(what),
    );
  });

  it('with an endless error body is not read to its end', async () => {
    function* endless(): Generator<string> {
      for (;;) yield 'x'.repeat(10_000);
    }
    const { provider, upstream } = await providerOf([{ status: 500, steps: endless() }]);
    expect((await collect(provider, requestOf('x'))).error?.detail).toContain('HTTP 500');
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });

  it('with a redirect is not followed: it could lead anywhere', async () => {
    const { provider, upstream } = await providerOf([{ status: 307, headers: { location: '/elsewhere' } }]);
    expect((await collect(provider, requestOf('x'))).error).toMatchObject({
      code: 'upstream-refused',
      retryable: false,
    });
    expect(upstream.requests).toHaveLength(1);
  });

  it('from no server', async () => {
    const { provider, upstream } = await providerOf([answer('a')]);
    await upstream.close();
    expect((await collect(provider, requestOf('x'))).error).toMatchObject({
      code: 'upstream-unreachable',
      retryable: true,
    });
    const nowhere = createOpenAiProvider({
      baseUrl: 'http://name.invalid/v1',
      clock,
      random: Math.random,
      limits: { attemptsMax: 1 },
    });
    expect((await collect(nowhere, requestOf('x'))).error?.code).toBe('upstream-unreachable');
  });
});

describe('silence', () => {
  it.each([
    ['before the headers', [STALL]],
    ['after the headers', [HEADERS, STALL]],
  ])('%s ends at the time for a first byte', async (_what, steps) => {
    const { provider, upstream } = await providerOf([{ steps }]);
    let done = false;
    const outcome = collect(provider, requestOf('x')).finally(() => (done = true));
    const request = await upstream.request(0);
    await clock.advance(FIRST_BYTE_TIMEOUT_MS - 1);
    expect(done).toBe(false);
    await clock.advance(1);
    expect((await outcome).error).toMatchObject({ code: 'upstream-timeout', retryable: true });
    expect(await request.ended).toBe('closed-by-client');
  });

  it('in an answer ends at the idle time, counted from the last byte', async () => {
    const { provider, upstream } = await providerOf([{ steps: [textEvent('a'), STALL] }]);
    const stream = provider.stream(requestOf('x'))[Symbol.asyncIterator]();
    await nextEvent(stream);
    await clock.advance(1_000_000); // the reader's time, not the server's
    const next = nextEvent(stream);
    const failed = expect(next).rejects.toMatchObject({ code: 'upstream-timeout' });
    let done = false;
    next.catch(() => (done = true));
    await clock.advance(IDLE_TIMEOUT_MS - 1);
    expect(done).toBe(false);
    await clock.advance(1);
    await failed;
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });

  it('is counted again from each byte', async () => {
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { provider } = await providerOf([{ steps: [textEvent('a'), gate, textEvent('b'), STALL] }]);
    const stream = provider.stream(requestOf('x'))[Symbol.asyncIterator]();
    await nextEvent(stream);
    const second = nextEvent(stream);
    await clock.advance(IDLE_TIMEOUT_MS - 1);
    release?.();
    expect(await second).toEqual({ type: 'text', text: 'b' });
    const third = nextEvent(stream);
    const failed = expect(third).rejects.toMatchObject({ code: 'upstream-timeout' });
    let done = false;
    third.catch(() => (done = true));
    await clock.advance(IDLE_TIMEOUT_MS - 1);
    expect(done).toBe(false);
    await clock.advance(1);
    await failed;
  });

  it('in an error body does not hide the status, and gets no second attempt', async () => {
    const fetched = vi.spyOn(globalThis, 'fetch');
    const { provider, upstream } = await providerOf([{ status: 503, steps: ['{', STALL] }], {
      limits: { attemptsMax: 3, retryWindowMs: 1e9 },
    });
    const outcome = collect(provider, requestOf('x'));
    await fetched.mock.results[0]?.value;
    await clock.advance(FIRST_BYTE_TIMEOUT_MS);
    expect((await outcome).error?.detail).toContain('HTTP 503');
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('an abort', () => {
  it.each([
    ['before the headers', [STALL], 0],
    ['in the middle of the answer', [textEvent('a'), STALL], 1],
  ])('%s closes the socket at once and ends the stream', async (_what, steps, tokens) => {
    const { provider, upstream } = await providerOf([{ steps }]);
    const controller = new AbortController();
    const stream = provider.stream(requestOf('x', { signal: controller.signal }))[Symbol.asyncIterator]();
    for (let index = 0; index < tokens; index += 1) await nextEvent(stream);
    const next = stream.next();
    const request = await upstream.request(0);
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await request.ended).toBe('closed-by-client');
  });

  it('before the start sends nothing', async () => {
    const { provider, upstream } = await providerOf([answer('a')]);
    expect(await collect(provider, requestOf('x', { signal: AbortSignal.abort() }))).toEqual({
      events: [],
      error: undefined,
    });
    expect(upstream.requests).toHaveLength(0);
  });

  it('while the reader holds a token closes the socket without waiting for the reader', async () => {
    const { provider, upstream } = await providerOf([{ steps: [textEvent('a'), STALL] }]);
    const controller = new AbortController();
    const stream = provider.stream(requestOf('x', { signal: controller.signal }))[Symbol.asyncIterator]();
    await nextEvent(stream);
    controller.abort();
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
    expect((await stream.next()).done).toBe(true);
  });

  it('leaves no listener on a signal that outlives the call', async () => {
    const { provider } = await providerOf([answer('a')]);
    const { signal, listeners } = watchedSignal();
    const stream = provider.stream(requestOf('x', { signal }))[Symbol.asyncIterator]();
    await nextEvent(stream);
    expect(listeners.size).toBe(1);
    await stream.return?.();
    await vi.waitFor(() => expect(listeners.size).toBe(0), { timeout: timeLimit(5_000) });
  });

  it('is not needed by a reader that leaves: the socket closes all the same', async () => {
    const { provider, upstream } = await providerOf([{ steps: [textEvent('a'), textEvent('b'), STALL] }]);
    for await (const event of provider.stream(requestOf('x'))) {
      expect(event.type).toBe('text');
      break;
    }
    expect(await (await upstream.request(0)).ended).toBe('closed-by-client');
  });
});

describe('errors', () => {
  it.each([
    ['a refusal that quotes', errorReply(400, { message: 'CANARY', code: 'CANARY', type: 'CANARY', param: 'CANARY' })],
    ['an error object that quotes', { steps: [sse({ error: { message: 'CANARY', code: 'CANARY', type: 'CANARY' } })] }],
    ['a 200 that quotes', { headers: { 'content-type': 'application/json' }, steps: ['{"error":"CANARY"}'] }],
    ['a chunk that is no JSON', { steps: [sse('CANARY {')] }],
    ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:1/CANARY' } }],
    ['a broken connection', { steps: [RESET] }],
    ['a cut answer', { steps: [textEvent('CANARY'), deltaEvent({ reasoning: 'CANARY' }), CUT] }],
  ])('carry neither prompt, nor answer, nor key, nor URL: %s', async (_what, reply) => {
    const { upstream } = await providerOf([reply]);
    const provider = createOpenAiProvider({
      baseUrl: `${upstream.baseUrl}/CANARY`,
      apiKey: 'CANARY',
      clock,
      random: Math.random,
      limits: { attemptsMax: 1 },
    });
    const { error } = await collect(provider, requestOf('CANARY'));
    expect(error).toBeDefined();
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/CANARY|127\.0\.0\.1/);
  });
});
