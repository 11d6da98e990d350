// Chat Completions with the stock client: streams, its helper, errors, and what the client repeats by itself.
import type OpenAI from 'openai';
import type { ChatCompletionChunk, ChatCompletionCreateParams } from 'openai/resources/chat/completions';
import { describe, expect, it, vi } from 'vitest';
import { BrokerError } from '../../../src/broker/errors.ts';
import type { FakeRun } from '../../support/gateway-fake-run.ts';
import type { HarnessOptions } from '../../support/gateway-harness.ts';
import { eventually, turn } from '../../support/wait-for.ts';
import { failureOf, startOpenai, startWorker, takeRun } from './stock-client.ts';

const HI = { model: 'default', messages: [{ role: 'user' as const, content: 'hi' }] };
const IN_CHAT = { headers: { 'x-session-id': 's' } };

async function startChat(options?: HarnessOptions) {
  const gateway = await startOpenai(options);
  const { completions } = gateway.client().chat;
  return {
    ...gateway,
    completions,
    take: () => takeRun(gateway.h, 's'),
    /** Begins a stream, and takes its run. */
    stream: async (more: Partial<ChatCompletionCreateParams> = {}) => {
      const asked = { ...HI, ...more, stream: true } as const;
      const [chunks, run] = await Promise.all([completions.create(asked, IN_CHAT), takeRun(gateway.h, 's')]);
      return { chunks, run };
    },
  };
}

async function textOf(chunks: AsyncIterable<ChatCompletionChunk>): Promise<string> {
  let text = '';
  for await (const { choices } of chunks) text += choices[0]?.delta.content ?? '';
  return text;
}

/** Reasoning, text, and a call for the client. */
async function sayAll(run: FakeRun): Promise<void> {
  const { runId, answerId: messageId } = run.run;
  await run.sayIn(0, 'reasoning', 'let me ', 'think');
  await run.add({ type: 'part.started', runId, part: 1, kind: 'text' });
  await run.sayIn(1, 'text', 'Wörld ', 'peace');
  await run.add({ type: 'part.started', runId, part: 2, kind: 'tool-call', toolCallId: 'c1', toolName: 'look' });
  await run.add({ type: 'delta', runId, messageId, part: 2, kind: 'tool-call', at: 0, text: '{"at":' });
  await run.add({ type: 'delta', runId, messageId, part: 2, kind: 'tool-call', at: 6, text: '1}' });
}

const ALL = {
  role: 'assistant',
  content: 'Wörld peace',
  reasoning_content: 'let me think',
  tool_calls: [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at":1}' } }],
};

describe('POST /openai/v1/chat/completions, streamed', () => {
  it('sends reasoning in pieces', async () => {
    const { stream } = await startChat();
    const { chunks, run } = await stream();
    await run.sayIn(0, 'reasoning', 'let me ', 'think');
    await run.complete();
    let reasoning = '';
    for await (const { choices } of chunks)
      reasoning += (choices[0]?.delta as { reasoning_content?: string } | undefined)?.reasoning_content ?? '';
    expect(reasoning).toBe('let me think');
  });

  it('gives the helper of the client the whole answer', async () => {
    const { completions, take } = await startChat();
    const asked = { ...HI, stream_options: { include_usage: true } };
    const stream = completions.stream(asked, IN_CHAT);
    const run = await take();
    await sayAll(run);
    await run.complete();
    const final = await stream.finalChatCompletion();
    // The helper keeps only the last piece of fields that it does not know.
    const { content, tool_calls } = ALL;
    expect(final.choices[0]).toMatchObject({ message: { content, tool_calls }, finish_reason: 'tool_calls' });
    expect(final).toMatchObject({ id: `chatcmpl-${run.run.runId}.s`, model: 'default', usage: { total_tokens: 2 } });
  });

  it('sends chunks as the text comes, without usage unless it is requested', async () => {
    const { stream } = await startChat();
    const { chunks, run } = await stream();
    const reader = chunks[Symbol.asyncIterator]();
    const next = async () => (await reader.next()).value as ChatCompletionChunk | undefined;
    expect((await next())?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
    for (const word of ['one ', 'two']) {
      await run.say(word);
      expect((await next())?.choices[0]).toMatchObject({ delta: { content: word }, finish_reason: null });
    }
    await run.complete();
    const last = await next();
    expect(last?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(last).not.toHaveProperty('usage');
    expect(await next()).toBeUndefined();
  });

  it('names the run and the session in its headers', async () => {
    const { completions, take } = await startChat();
    const request = completions.create({ ...HI, stream: true }, IN_CHAT).withResponse();
    const run = await take();
    const { response } = await request;
    expect(response.headers.get('x-run-id')).toBe(run.run.runId);
    expect(response.headers.get('x-session-id')).toBe('s');
    await run.complete();
  });

  it('is not changed by a takeover that says the same again', async () => {
    const { stream } = await startChat();
    const { chunks, run } = await stream();
    const text = textOf(chunks);
    await run.say('one two');
    await run.dropFrom(4, { takesOver: true });
    await run.say('two', ' three');
    await run.complete();
    expect(await text).toBe('one two three');
  });

  it('ends with an error when a takeover says something else, and the completion is read by its id', async () => {
    const { completions, stream } = await startChat();
    const { chunks, run } = await stream();
    const text = failureOf(textOf(chunks));
    await run.say('one two');
    await turn();
    await run.dropFrom(4, { takesOver: true });
    await run.say('three');
    expect(await text).toMatchObject({ code: 'restarted' });
    await run.complete();
    const read = await completions.retrieve(`chatcmpl-${run.run.runId}.s`);
    expect(read.choices[0]?.message.content).toBe('one three');
  });

  it.each([
    ['fails', { code: 'upstream-error', type: 'server_error', message: expect.stringContaining('it broke') as string }],
    ['is stopped', { code: 'run-cancelled', type: 'cancelled' }],
  ])('ends with an error when the run %s', async (how, error) => {
    const { h, stream } = await startChat();
    const { chunks, run } = await stream();
    const text = failureOf(textOf(chunks));
    await run.say('half');
    if (how === 'fails') await run.fail({ code: 'upstream-error', message: 'it broke', retryable: true });
    else {
      await h.call('POST', '/v1/sessions/s/cancel', 'ann', {});
      await run.cancelled('ann');
    }
    expect(await text).toMatchObject(error);
  });

  it('is cut when the node drains, so that the client does not take a part for the whole', async () => {
    const { h, stream } = await startChat();
    const { chunks, run } = await stream();
    const text = failureOf(textOf(chunks));
    await run.say('half');
    await turn();
    const drained = h.gateway.drain({ windowMs: 10, deadlineMs: 100 });
    await h.clock.advance(100);
    await drained;
    expect(await text).toBeInstanceOf(Error);
  });

  it('continues when the client is gone', async () => {
    const { completions, stream } = await startChat();
    const { chunks, run } = await stream();
    chunks.controller.abort();
    await run.say('all of it');
    await run.complete();
    const read = await completions.retrieve(`chatcmpl-${run.run.runId}.s`);
    expect(read.choices[0]?.message.content).toBe('all of it');
  });
});

describe('POST /openai/v1/chat/completions, not streamed', () => {
  it('answers with the whole completion', async () => {
    const { completions, take } = await startChat();
    const answer = completions.create(HI, IN_CHAT);
    const run = await take();
    await sayAll(run);
    await run.complete();
    expect(await answer).toMatchObject({
      id: `chatcmpl-${run.run.runId}.s`,
      object: 'chat.completion',
      choices: [{ index: 0, message: ALL, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    });
  });

  it.each([
    ['fails', 502, 'upstream-error'],
    ['is stopped', 409, 'run-cancelled'],
  ])('is refused once, without a retry, when the run %s', async (how, status, code) => {
    const { h, client, take } = await startChat();
    const answer = failureOf(client('ann', { maxRetries: 2 }).chat.completions.create(HI, IN_CHAT));
    const run = await take();
    if (how === 'fails') await run.fail({ code: 'upstream-error', message: 'it broke', retryable: true });
    else await run.cancelled('ann');
    expect(await answer).toMatchObject({ status, code });
    const { body } = await h.call('GET', '/v1/sessions/s', 'ann');
    expect(body).toMatchObject({ messages: 1, queued: 0 });
  });

  it.each([
    ['the client that waits longest', undefined, 240_000],
    ['a client with a time of its own', 100_000, 80_000],
  ])('is refused before %s repeats it', async (_, timeout, waitMs) => {
    const { h, client } = await startChat();
    const { completions } = client('ann', { maxRetries: 2 }).chat;
    const answer = failureOf(completions.create(HI, { ...IN_CHAT, ...(timeout && { timeout }) }));
    await eventually(async () => (await h.gateway.metrics.text()).includes('wire="openai-chat"} 1'));
    await h.clock.advance(waitMs);
    expect(await answer).toMatchObject({ status: 408, code: 'request-timeout' });
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body).toMatchObject({ messages: 1, queued: 0 });
  });

  it('is not repeated when its outcome is unknown, unless it has a key', async () => {
    const { h, client } = await startChat();
    const { completions } = client('ann', { maxRetries: 2 }).chat;
    const append = h.broker.append.bind(h.broker);
    let answersLost = 1;
    vi.spyOn(h.broker, 'append').mockImplementation(async (writes) => {
      const appended = await append(writes);
      if (writes.some(({ topic }) => topic.startsWith('request/')) && (answersLost -= 1) >= 0)
        throw new BrokerError('unavailable', 'the connection was lost');
      return appended;
    });
    expect(await failureOf(completions.create(HI, IN_CHAT))).toMatchObject({ status: 503, code: 'unavailable' });
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body).toMatchObject({ messages: 1 });
    answersLost = 1;
    const headers = { ...IN_CHAT.headers, 'idempotency-key': 'k' };
    const chunks = await completions.create({ ...HI, stream: true }, { headers });
    chunks.controller.abort();
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body).toMatchObject({ messages: 2 });
  });

  it('answers two turns of a chat, each with the last message only', async () => {
    const { h, completions, take } = await startChat();
    const messages: OpenAI.ChatCompletionMessageParam[] = [];
    for (const word of ['one', 'two']) {
      messages.push({ role: 'user', content: word });
      const answer = completions.create({ model: 'default', messages }, IN_CHAT);
      const run = await take();
      await run.say(`${word}!`);
      await run.complete();
      const [choice] = (await answer).choices;
      messages.push({ role: 'assistant', content: choice?.message.content ?? null });
    }
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect((body['messages'] as { content: string }[]).map(({ content }) => content)).toEqual(
      messages.map(({ content }) => content),
    );
  });

  it('is the same run when a request with an `Idempotency-Key` is repeated', async () => {
    const { completions } = await startChat();
    const headers = { 'idempotency-key': 'k' };
    const runs = [];
    for (let i = 0; i < 2; i += 1) {
      const { response, data } = await completions.create({ ...HI, stream: true }, { headers }).withResponse();
      runs.push([response.headers.get('x-run-id'), response.headers.get('x-session-id')]);
      data.controller.abort();
    }
    expect(runs[0]).toEqual(runs[1]);
  });

  it('is refused once, without a retry, when its key was used for another prompt', async () => {
    const { client } = await startChat();
    let requests = 0;
    const counting = (url: string | URL | Request, init?: RequestInit): Promise<globalThis.Response> => {
      requests += 1;
      return fetch(url, init);
    };
    const { completions } = client('ann', { maxRetries: 2, fetch: counting }).chat;
    const headers = { 'idempotency-key': 'k' };
    (await completions.create({ ...HI, stream: true }, { headers })).controller.abort();
    const other = { ...HI, messages: [{ role: 'user' as const, content: 'other' }] };
    expect(await failureOf(completions.create(other, { headers }))).toMatchObject({
      status: 409,
      code: 'message-conflict',
    });
    expect(requests).toBe(2);
  });

  it('does not show calls that the agent executes itself', async () => {
    const { completions, stream } = await startChat();
    const { chunks, run } = await stream();
    const { runId } = run.run;
    const call = { toolCallId: 'c1', toolName: 'look', executor: 'agent' } as const;
    await run.add({ type: 'part.started', runId, part: 0, kind: 'tool-call', ...call });
    await run.sayIn(0, 'tool-call', '{}');
    await run.add({ type: 'tool.result', runId, toolCallId: 'c1', result: 1 });
    await run.add({ type: 'part.started', runId, part: 1, kind: 'text' });
    await run.sayIn(1, 'text', 'one');
    await run.complete();
    const reasons = [];
    for await (const { choices } of chunks) {
      expect(choices[0]?.delta).not.toHaveProperty('tool_calls');
      reasons.push(choices[0]?.finish_reason);
    }
    expect(reasons.at(-1)).toBe('stop');
    const [choice] = (await completions.retrieve(`chatcmpl-${runId}.s`)).choices;
    expect(choice).toMatchObject({ finish_reason: 'stop', message: { content: 'one' } });
    expect(choice?.message).not.toHaveProperty('tool_calls');
  });

  it('makes a chat of its own without `x-session-id`, which is in no list and ends after an hour', async () => {
    const { h, completions } = await startChat();
    const { response, data } = await completions.create({ ...HI, stream: true }).withResponse();
    const sessionId = response.headers.get('x-session-id') ?? '';
    await (await takeRun(h, sessionId)).complete();
    const { body } = await h.call('GET', `/v1/sessions/${sessionId}`, 'ann');
    expect(body).toMatchObject({ isListed: false, messages: 2 });
    expect(Date.parse(String(body['expiresAt'])) - h.clock.now()).toBeLessThanOrEqual(60 * 60 * 1000);
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
    data.controller.abort();
  });
});

describe('a model', () => {
  const tool = { name: 'look', parameters: { type: 'object' } };
  const call = { id: 'c1', type: 'function' as const, function: { name: 'look', arguments: '{}' } };
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'what is there?' },
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'c1', content: 'a chair' },
  ];

  it('receives the whole conversation of a request without a chat, and its options', async () => {
    const { h, completions } = await startChat();
    const model = startWorker(h);
    const asked = { model: 'default', messages, tools: [{ type: 'function' as const, function: tool }] };
    const answer = completions.create({ ...asked, temperature: 0.5, max_completion_tokens: 10, stop: 'x' });
    const request = await model.call(0);
    request.say('a chair.').finish();
    expect((await answer).choices[0]?.message.content).toBe('a chair.');
    expect(request.request.messages).toMatchObject([
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'what is there?' },
      { role: 'assistant', toolCalls: [{ toolCallId: 'c1', toolName: 'look', arguments: '{}' }] },
      { role: 'tool', toolCallId: 'c1', content: 'a chair' },
    ]);
    const options = { tools: [tool], temperature: 0.5, maxOutputTokens: 10, stop: 'x' };
    expect(request.request.options).toEqual(options);
  });

  it('receives the results of calls of a chat', async () => {
    const { h, completions } = await startChat();
    const model = startWorker(h);
    const first = completions.create({ model: 'default', messages: messages.slice(0, 2) }, IN_CHAT);
    const one = await model.call(0);
    one.say(
      { type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{}' },
      { type: 'finish', reason: 'tool-calls' },
    );
    expect((await first).choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { tool_calls: [call] } });
    const second = completions.create({ model: 'default', messages }, IN_CHAT);
    const two = await model.call(1);
    two.say('a chair.').finish();
    await second;
    expect(two.request.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool']);
  });
});

describe('GET /openai/v1/chat/completions/{id}', () => {
  it('says that the run has not ended', async () => {
    const { completions, stream } = await startChat();
    const { run } = await stream();
    const failed = await failureOf(completions.retrieve(`chatcmpl-${run.run.runId}.s`));
    expect(failed).toMatchObject({ status: 409, code: 'not-finished' });
  });

  it('answers 404 for a foreign completion, and for ids that are none', async () => {
    const { client, stream } = await startChat();
    const { run } = await stream();
    const { runId } = run.run;
    for (const [user, id] of [
      ['eve', `chatcmpl-${runId}.s`],
      ['ann', `chatcmpl-${runId}.other`],
      ['ann', 'chatcmpl-gone.s'],
      ['ann', 'chatcmpl-abc'],
      ['ann', `resp_${runId}.s`],
      ['ann', `chatcmpl-${runId}.s.1`],
    ] as const) {
      const failed = await failureOf(client(user).chat.completions.retrieve(id));
      expect([id, failed]).toMatchObject([id, { status: 404, type: 'invalid_request_error' }]);
    }
  });
});

describe('a request for a completion', () => {
  const asked: readonly [string, Readonly<Record<string, unknown>>][] = [
    ['n', { n: 2 }],
    ['logprobs', { logprobs: true }],
    ['audio', { audio: { voice: 'alloy', format: 'mp3' } }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['functions', { functions: [{ name: 'f' }] }],
    ['web_search_options', { web_search_options: {} }],
    ['presence_penalty', { presence_penalty: 1 }],
    ['model', { model: '' }],
    ['stream', { stream: 'yes' }],
    ['messages', { messages: [] }],
    ['messages', { messages: [{ role: 'assistant', content: 'hi' }] }],
    ['messages[0].role', { messages: [{ role: 'robot', content: 'hi' }] }],
    ['messages[0].tool_call_id', { messages: [{ role: 'tool', content: 'hi' }] }],
    ['tools[0].type', { tools: [{ type: 'custom', custom: { name: 'f' } }] }],
    ['tool_choice', { tool_choice: 'always' }],
    ['temperature', { temperature: 3 }],
    ['max_tokens', { max_tokens: 0 }],
    ['stop[1]', { stop: ['a', 1] }],
    ['response_format.type', { response_format: { type: 'grammar' } }],
    ['messages[0].content', { messages: [{ role: 'user', content: '' }] }],
    ['messages[0].content[0].type', { messages: [{ role: 'user', content: [{ type: 'video', video: {} }] }] }],
    [
      'messages[0].content[0].file.file_id',
      { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f' } }] }] },
    ],
  ];

  it.each(asked)('is refused with the name of the parameter %s, and stores nothing', async (param, more) => {
    const { h, client } = await startChat();
    const request = client().post('/chat/completions', { body: { ...HI, ...more }, ...IN_CHAT });
    const failed = await failureOf(request);
    expect(failed).toMatchObject({ status: 400, type: 'invalid_request_error', param });
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(404);
  });

  it('is accepted with parameters that change nothing', async () => {
    const { completions, take } = await startChat();
    const neutral = { n: 1, presence_penalty: 0, logprobs: false, user: 'u', metadata: { a: 'b' }, audio: null };
    const answer = completions.create({ ...HI, ...neutral }, IN_CHAT);
    await (await take()).complete();
    expect((await answer).choices[0]?.finish_reason).toBe('stop');
  });

  it('is refused for an unknown model, for a foreign chat, and when it is too large', async () => {
    const agents = new Map([['default', { model: 'm' }]]);
    const { h, client } = await startChat({ config: { agents, wireBodyBytesMax: 10_000 } });
    await h.call('POST', '/v1/sessions', 'eve', { sessionId: 's' });
    const send = (more: object) =>
      failureOf(client().post('/chat/completions', { body: { ...HI, ...more }, ...IN_CHAT }));
    expect(await send({ model: 'gone' })).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
    expect(await send({})).toMatchObject({ status: 404, code: 'not-found' });
    expect(await send({ user: 'x'.repeat(10_000) })).toMatchObject({ status: 413, code: 'too-large' });
  });

  it('is refused for an option that the agent does not take', async () => {
    const agents = new Map([['default', { model: 'm', allow: ['temperature' as const] }]]);
    const { completions } = await startChat({ config: { agents } });
    const failed = await failureOf(completions.create({ ...HI, temperature: 1, max_completion_tokens: 10 }, IN_CHAT));
    expect(failed).toMatchObject({ status: 400, code: 'option-refused', param: 'max_output_tokens' });
  });

  it('makes a chat of its own where session ids are claimed, and none when it is refused', async () => {
    const agents = new Map([['default', { model: 'm', allow: [] }]]);
    const { h, completions } = await startChat({ config: { agents, sessionIds: 'claimed' } });
    const append = vi.spyOn(h.broker, 'append');
    expect(await failureOf(completions.create({ ...HI, temperature: 1 }))).toMatchObject({ code: 'option-refused' });
    expect(append).not.toHaveBeenCalled();
    const chunks = await completions.create({ ...HI, stream: true });
    chunks.controller.abort();
    expect(append).toHaveBeenCalled();
  });

  it('makes no chat of its own with a token for given sessions', async () => {
    const { h, client } = await startChat();
    const apiKey = h.token('ann', { sessions: ['s'] });
    const failed = await failureOf(client('ann', { apiKey }).chat.completions.create(HI));
    expect(failed).toMatchObject({ status: 403, type: 'permission_error' });
  });
});
