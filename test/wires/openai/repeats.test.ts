// What the stock client repeats by itself after a lost connection, without a key: one run, and never one run for two
// requests that were both meant.
import OpenAI from 'openai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { sessionOf } from '../../../src/session/topic-names.ts';
import type { Harness } from '../../support/gateway-harness.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { eventually } from '../../support/wait-for.ts';
import { startOpenai, takeRun } from './stock-client.ts';

const ASKED = { model: 'default', messages: [{ role: 'user' as const, content: 'go' }] };
const IN_CHAT = { headers: { 'x-session-id': 's' } };

/** `repeating`: a client behind a proxy that loses replies; it repeats a request once. */
async function startBehindProxy() {
  const gateway = await startOpenai();
  const proxy = await TcpProxy.start(Number(new URL(gateway.baseURL).port));
  onTestFinished(() => proxy.close());
  const baseURL = `http://127.0.0.1:${proxy.port}/openai/v1`;
  const repeating = new OpenAI({ baseURL, apiKey: gateway.h.token('ann'), maxRetries: 1 });
  return { ...gateway, proxy, repeating };
}

/** The chats with a run that has not ended, once for each run. */
async function openRuns(h: Harness): Promise<string[]> {
  const { topics } = await h.broker.list(parseTopicPattern('chat/*'), { limit: 100 });
  const open = await Promise.all(
    topics.map(async ({ topic }) => {
      const { sessionId, tenant } = sessionOf(topic);
      const loaded = await h.commandLog.load({ tenant, sessionId });
      return (loaded?.state.runs ?? []).map(() => sessionId);
    }),
  );
  return open.flat();
}

/** Resolves when one request waits for its answer. */
function isWaiting(h: Harness, wire: string): Promise<void> {
  const line = `holdline_streams{wire="${wire}"} 1`;
  return eventually(async () => (await h.call('GET', '/metrics')).text.includes(line));
}

/** The same request as the package sends it at one of its tries. */
function tryOf(client: OpenAI, count: number, headers = {}): PromiseLike<unknown> {
  return client.chat.completions.create(
    { ...ASKED, stream: true },
    { headers: { ...headers, 'x-stainless-retry-count': String(count) } },
  );
}

describe('a request that the client repeats without a key', () => {
  it('has one run in a chat of its own, and gives its answer', async () => {
    const { h, proxy, repeating } = await startBehindProxy();
    const completion = repeating.chat.completions.create(ASKED);
    await eventually(async () => (await openRuns(h)).length === 1);
    proxy.cutAll();
    await eventually(() => proxy.connections === 2);
    const [sessionId] = await openRuns(h);
    if (sessionId === undefined) throw new Error('no run');
    const run = await takeRun(h, sessionId);
    await run.say('once');
    // The repeated request has been read once its answer waits for the end of the run.
    await isWaiting(h, 'openai-chat');
    await run.complete();
    expect((await completion).choices[0]?.message.content).toBe('once');
    expect(await openRuns(h)).toEqual([]);
  });

  it('has one run in a chat of its own where its conversation is long', async () => {
    const { h, client } = await startOpenai();
    const long = Array.from({ length: 400 }, () => ({ role: 'user' as const, content: 'x'.repeat(1000) }));
    const asked = { ...ASKED, messages: [...long, ...ASKED.messages], stream: true as const };
    const ask = (count: number): Promise<unknown> =>
      client().chat.completions.create(asked, { headers: { 'x-stainless-retry-count': String(count) } });
    await ask(0);
    await ask(1);
    expect(await openRuns(h)).toHaveLength(1);
    // What was asked twice at once was meant twice.
    await Promise.all([ask(0), ask(0)]);
    expect(new Set(await openRuns(h)).size).toBe(3);
  });

  it('has one run in the chat that it names, over Responses too', async () => {
    const { h, proxy, repeating } = await startBehindProxy();
    const response = repeating.responses.create({ model: 'default', input: 'go', conversation: 's' });
    await eventually(async () => (await openRuns(h)).length === 1);
    proxy.cutAll();
    await eventually(() => proxy.connections === 2);
    const run = await takeRun(h, 's');
    await run.say('once');
    await isWaiting(h, 'openai-responses');
    await run.complete();
    expect((await response).output_text).toBe('once');
    expect(await openRuns(h)).toEqual([]);
  });

  it('is a new prompt where the equal one has ended, or where two are under way', async () => {
    for (const headers of [{}, IN_CHAT.headers]) {
      const { h, client } = await startOpenai();
      const openai = client();
      await tryOf(openai, 0, headers);
      const [first] = await openRuns(h);
      if (first === undefined) throw new Error('no run');
      await (await takeRun(h, first)).complete();
      await tryOf(openai, 1, headers);
      expect(await openRuns(h)).toHaveLength(1);
      await tryOf(openai, 0, headers);
      await tryOf(openai, 1, headers);
      expect(await openRuns(h)).toHaveLength(headers === IN_CHAT.headers ? 3 : 2);
    }
  });

  it('gives two equal first tries a run each, at once or one after the other', async () => {
    for (const headers of [{}, IN_CHAT.headers]) {
      const { h, client } = await startOpenai();
      const openai = client();
      await Promise.all([tryOf(openai, 0, headers), tryOf(openai, 0, headers), tryOf(openai, 0, headers)]);
      await tryOf(openai, 0, headers);
      expect(await openRuns(h)).toHaveLength(4);
    }
  });

  it('joins no request of another user, token or body', async () => {
    const { h, client } = await startOpenai();
    await tryOf(client('ann'), 0);
    await tryOf(client('bob'), 1);
    await client().chat.completions.create(
      { ...ASKED, messages: [{ role: 'user', content: 'other' }], stream: true },
      { headers: { 'x-stainless-retry-count': '1' } },
    );
    expect(await openRuns(h)).toHaveLength(3);
    await tryOf(client('ann'), 1);
    expect(await openRuns(h)).toHaveLength(3);
  });
});
