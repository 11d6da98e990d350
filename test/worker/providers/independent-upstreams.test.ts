// The provider against two OpenAI-compatible servers of other authors, aimock and openai-mock-api: their output was not
// made to fit this parser.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { LLMock } from '@copilotkit/aimock';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Provider } from '../../../src/worker/provider.ts';
import {
  createOpenAiProvider,
  type OpenAiProviderOptions,
} from '../../../src/worker/providers/openai/openai-provider.ts';
import { collect, requestOf, textIn } from './collect.ts';

const STORY = 'Once upon a time, in a naïve 🏰, there lived a résumé. '.repeat(20);

function providerAt(baseUrl: string, more: Partial<OpenAiProviderOptions> = {}): Provider {
  return createOpenAiProvider({ baseUrl, clock: systemClock, random: () => 0, ...more });
}

describe('aimock', () => {
  let mock: LLMock;
  let provider: Provider;

  beforeEach(async () => {
    mock = new LLMock({ port: 0 });
    await mock.start();
    provider = providerAt(`${mock.url}/v1`);
  });
  afterEach(async () => mock.stop());

  it('streams an answer with its usage', async () => {
    mock.onMessage(
      'story',
      { content: STORY },
      { chunkSize: 3, streamingProfile: { ttft: 5, tps: 5000, jitter: 0.5 } },
    );
    const { events, error } = await collect(provider, requestOf('a story, please'));
    expect(error).toBeUndefined();
    expect(textIn(events)).toBe(STORY);
    expect(events.filter((event) => event.type === 'text').length).toBeGreaterThan(100);
    const [usage, finish] = events.slice(-2);
    expect(usage).toEqual({
      type: 'usage',
      usage: { inputTokens: expect.any(Number) as number, outputTokens: expect.any(Number) as number },
    });
    expect(finish).toEqual({ type: 'finish', reason: 'stop' });
  });

  it('streams reasoning before text', async () => {
    mock.onMessage('think', { content: 'Yes.', reasoning: 'Let me think about it for a while.' });
    const { events } = await collect(provider, requestOf('think'));
    const reasoning = events.flatMap((event) => (event.type === 'reasoning' ? [event.text] : []));
    expect(reasoning.join('')).toBe('Let me think about it for a while.');
    expect(textIn(events)).toBe('Yes.');
    expect(events[0]?.type).toBe('reasoning');
  });

  it('streams tool calls', async () => {
    const toolCalls = [
      { name: 'weather', arguments: '{"city":"Oslo"}' },
      { name: 'time', arguments: '{"zone":"CET"}' },
    ];
    mock.onMessage('tools', { toolCalls });
    const { events } = await collect(provider, requestOf('tools'));
    const calls = events.filter((event) => event.type === 'tool-call');
    for (const [index, { name, arguments: argumentsText }] of toolCalls.entries()) {
      const deltas = calls.filter((call) => call.index === index);
      expect(deltas[0]?.name).toBe(name);
      expect(deltas[0]?.id).toMatch(/./);
      expect(deltas.slice(1).every((call) => call.id === undefined)).toBe(true);
      expect(deltas.map((call) => call.argumentsText).join('')).toBe(argumentsText);
    }
    expect(events.at(-1)).toEqual({ type: 'finish', reason: 'tool-calls' });
  });

  it('is no completion when it is cut after five chunks', async () => {
    mock.onMessage('cut', { content: STORY }, { chunkSize: 3, latency: 2, truncateAfterChunks: 5 });
    const { events, error } = await collect(provider, requestOf('cut'));
    expect(error?.code).toBe('upstream-truncated');
    expect(textIn(events)).not.toBe('');
    expect(STORY.startsWith(textIn(events))).toBe(true);
    expect(events.every((event) => event.type === 'text')).toBe(true);
  });

  it('is no completion when it disconnects in the middle', async () => {
    mock.onMessage('drop', { content: STORY }, { chunkSize: 3, latency: 5, disconnectAfterMs: 60 });
    const { events, error } = await collect(provider, requestOf('drop'));
    expect(error?.code).toBe('upstream-truncated');
    expect(events.every((event) => event.type === 'text')).toBe(true);
  });

  it('is called again when it refuses once with a later time', async () => {
    mock.onMessage('retry', { content: 'Here I am.' });
    mock.nextRequestError(503, { message: 'overloaded' });
    const { events, error } = await collect(provider, requestOf('retry'));
    expect(error).toBeUndefined();
    expect(textIn(events)).toBe('Here I am.');
  });

  it.each([
    ['rate limits', { rateLimitRate: 1 }, 'upstream-rate-limited'],
    ['500s', { dropRate: 1 }, 'upstream-error'],
    ['malformed bodies', { malformedRate: 1 }, 'upstream-malformed'],
    ['dead sockets', { disconnectRate: 1 }, 'upstream-unreachable'],
  ])('in a chaos of %s', async (_what, chaos, code) => {
    mock.onMessage('chaos', { content: STORY });
    mock.setChaos(chaos);
    const impatient = providerAt(`${mock.url}/v1`, { limits: { attemptsMax: 1 } });
    const { events, error } = await collect(impatient, requestOf('chaos'));
    expect(error?.code).toBe(code);
    expect(events).toEqual([]);
  });

  it('refuses a prompt that it does not know', async () => {
    const { error } = await collect(provider, requestOf('something else'));
    expect(error?.code).toBe('upstream-refused');
  });
});

describe('openai-mock-api', () => {
  let child: ChildProcess;
  let baseUrl: string;

  beforeAll(async () => {
    const port = await freePort();
    child = await startMockApi(port);
    baseUrl = `http://127.0.0.1:${port}/v1`;
  });
  afterAll(async () => {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });

  it('streams an answer word by word', async () => {
    const { events, error } = await collect(providerAt(baseUrl, { apiKey: 'mock-key' }), requestOf('hello'));
    expect(error).toBeUndefined();
    expect(textIn(events)).toBe('Hello from a second server.');
    expect(events).toHaveLength(6);
    expect(events.at(-1)).toEqual({ type: 'finish', reason: 'stop' });
  });

  it('streams a tool call, without an index', async () => {
    const { events } = await collect(providerAt(baseUrl, { apiKey: 'mock-key' }), requestOf('weather'));
    expect(events[0]).toEqual({
      type: 'tool-call',
      index: 0,
      id: 'call_1',
      name: 'weather',
      argumentsText: '{"city":"Oslo"}',
    });
  });

  it('refuses a wrong key, and is not called again', async () => {
    const { error } = await collect(providerAt(baseUrl, { apiKey: 'wrong' }), requestOf('hello'));
    expect(error).toMatchObject({ code: 'upstream-refused', retryable: false });
  });
});

const MOCK_API_CONFIG = JSON.stringify({
  apiKey: 'mock-key',
  responses: [
    {
      id: 'hello',
      messages: [
        { role: 'user', content: 'hello' },
        { role: 'assistant', content: 'Hello from a second server.' },
      ],
    },
    {
      id: 'weather',
      messages: [
        { role: 'user', content: 'weather' },
        {
          role: 'assistant',
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }],
        },
      ],
    },
  ],
});

/** The configuration comes on stdin (JSON is YAML); the server prints a line when it is ready. */
async function startMockApi(port: number): Promise<ChildProcess> {
  const cli = fileURLToPath(new URL('../../../node_modules/openai-mock-api/dist/cli.js', import.meta.url));
  const child = spawn(process.execPath, [cli, '--config', '-', '--port', String(port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(MOCK_API_CONFIG);
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('started on port')) break;
  }
  child.stdout.resume();
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
