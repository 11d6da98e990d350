// Responses with the stock client: streams, its helper, resuming with a number, polling, Stop, and refusals.
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import { describe, expect, it, vi } from 'vitest';
import { ENDED_SOON_MS } from '../../../src/session/stores/leftovers.ts';
import type { FakeRun } from '../../support/gateway-fake-run.ts';
import type { HarnessOptions } from '../../support/gateway-harness.ts';
import { turn } from '../../support/wait-for.ts';
import { failureOf, startOpenai, startWorker, takeRun } from './stock-client.ts';

const HI = { model: 'default', input: 'hi', conversation: 's' };

async function startChat(options?: HarnessOptions) {
  const gateway = await startOpenai(options);
  const { responses } = gateway.client();
  return {
    ...gateway,
    responses,
    take: () => takeRun(gateway.h, 's'),
    stream: async () => {
      const [events, run] = await Promise.all([responses.create({ ...HI, stream: true }), takeRun(gateway.h, 's')]);
      return { events, run, id: `resp_${run.run.runId}.s` };
    },
    /** A response in the background, and its run. */
    begin: async () => {
      const { id } = await responses.create({ ...HI, background: true });
      return { id, run: await takeRun(gateway.h, 's') };
    },
  };
}

/** Reasoning, text, a call of the agent, and more text. */
async function sayAll(run: FakeRun, pause = async (): Promise<void> => undefined): Promise<void> {
  const { runId } = run.run;
  for (const word of ['let ', 'me ', 'think']) {
    await run.sayIn(0, 'reasoning', word);
    await pause();
  }
  const call = { toolCallId: 'c1', toolName: 'look', executor: 'agent' } as const;
  await run.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', ...call });
  await run.sayIn(1, 'tool-call', '{"at"', ':1}');
  await run.add({ type: 'tool.result', runId, toolCallId: 'c1', result: { found: true } });
  await run.add({ type: 'part.started', runId, part: 2, kind: 'text' });
  for (const word of ['Wörld ', 'peace ', '🌍']) {
    await run.sayIn(2, 'text', word);
    await pause();
  }
}

const OUTPUT = [
  { type: 'reasoning', status: 'completed', content: [{ type: 'reasoning_text', text: 'let me think' }] },
  {
    type: 'mcp_call',
    status: 'completed',
    server_label: 'default',
    name: 'look',
    arguments: '{"at":1}',
    output: '{"found":true}',
  },
  { type: 'message', status: 'completed', content: [{ type: 'output_text', text: 'Wörld peace 🌍' }] },
];

async function all(events: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> {
  const seen = [];
  for await (const event of events) seen.push(event);
  return seen;
}

function textOf(events: readonly ResponseStreamEvent[]): string {
  return events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
}

function endOf(events: readonly ResponseStreamEvent[]): Response | undefined {
  const last = events.at(-1);
  return last !== undefined && 'response' in last ? last.response : undefined;
}

describe('POST /openai/v1/responses', () => {
  it('gives the helper of the client the whole answer', async () => {
    const { responses, take } = await startChat();
    const stream = responses.stream(HI);
    let text = '';
    stream.on('response.output_text.delta', ({ delta }) => (text += delta));
    const run = await take();
    await sayAll(run);
    await run.complete();
    const final = await stream.finalResponse();
    expect(final).toMatchObject({
      id: `resp_${run.run.runId}.s`,
      status: 'completed',
      output: OUTPUT,
      conversation: { id: 's' },
    });
    expect([final.output_text, text]).toEqual(['Wörld peace 🌍', 'Wörld peace 🌍']);
    expect(final.usage).toMatchObject({ input_tokens: 1, output_tokens: 1, total_tokens: 2 });
  });

  it('answers with the whole response without a stream', async () => {
    const { responses, take } = await startChat();
    const answer = responses.create(HI);
    const run = await take();
    await sayAll(run);
    await run.complete();
    expect(await answer).toMatchObject({ status: 'completed', output: OUTPUT, output_text: 'Wörld peace 🌍' });
  });

  it('answers at once in the background, and is polled', async () => {
    const { responses, take } = await startChat();
    const { id, status } = await responses.create({ ...HI, background: true });
    expect(status).toBe('queued');
    const run = await take();
    await run.say('half');
    expect(await responses.retrieve(id)).toMatchObject({ status: 'in_progress', output_text: 'half' });
    await run.complete();
    expect(await responses.retrieve(id)).toMatchObject({ status: 'completed', output_text: 'half' });
  });

  it('says in the response how a run failed', async () => {
    const { responses, begin, stream } = await startChat();
    const { id, run } = await begin();
    await run.fail({ code: 'upstream-error', message: 'it broke', retryable: true });
    const error = { code: 'server_error', message: 'it broke (upstream-error)' };
    expect(await responses.retrieve(id)).toMatchObject({ status: 'failed', error });
    const second = await stream();
    const events = all(second.events);
    await second.run.say('half');
    await second.run.fail({ code: 'upstream-error', message: 'it broke', retryable: true });
    expect((await events).at(-1)).toMatchObject({
      type: 'response.failed',
      response: { error, output: [{ status: 'incomplete' }] },
    });
  });

  it('continues the run of `previous_response_id`, also behind an older one', async () => {
    const { h, responses, begin, take } = await startChat();
    const first = await begin();
    await first.run.complete();
    const second = await begin();
    await second.run.complete();
    const again = { model: 'default', input: 'again', previous_response_id: first.id, background: true };
    const { id } = await responses.create(again);
    await (await take()).complete();
    expect(id).toMatch(/^resp_[^.]+\.s$/);
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    const prompts = (body['messages'] as { role: string; content: string }[]).filter(({ role }) => role === 'user');
    expect(prompts.map(({ content }) => content)).toEqual(['hi', 'again']);
  });

  it('makes a chat of its own without a conversation, which is in no list', async () => {
    const { h, responses } = await startChat();
    const { id } = await responses.create({ model: 'default', input: 'hi', background: true });
    const sessionId = id.split('.')[1] ?? '';
    expect((await h.call('GET', `/v1/sessions/${sessionId}`, 'ann')).body).toMatchObject({ isListed: false });
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });
});

describe('a model', () => {
  it('receives the input items before the prompt, and the options', async () => {
    const { h, responses } = await startChat();
    const model = startWorker(h);
    const schema = { type: 'object', properties: {} };
    const answer = responses.create({
      model: 'default',
      instructions: 'be brief',
      input: [
        { role: 'user', content: 'what is there?' },
        { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c1', output: 'a chair' },
      ],
      tools: [{ type: 'function', name: 'look', parameters: schema, strict: true }],
      text: { format: { type: 'json_schema', name: 'thing', schema } },
      reasoning: { effort: 'low' },
      max_output_tokens: 10,
    });
    const request = await model.call(0);
    request.say('a chair.').finish();
    expect((await answer).output_text).toBe('a chair.');
    expect(request.request.messages).toMatchObject([
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'what is there?' },
      { role: 'assistant', toolCalls: [{ toolCallId: 'c1', toolName: 'look', arguments: '{}' }] },
      { role: 'tool', toolCallId: 'c1', content: 'a chair' },
    ]);
    expect(request.request.options).toMatchObject({
      tools: [{ name: 'look', parameters: schema, strict: true }],
      responseFormat: { type: 'json_schema', json_schema: { name: 'thing', schema } },
      reasoningEffort: 'low',
      maxOutputTokens: 10,
    });
  });
});

describe('GET /openai/v1/responses/{id}?stream=true', () => {
  it('gives exactly the rest behind every number, live and later', async () => {
    const { responses, stream } = await startChat();
    const { events, run, id } = await stream();
    const live = all(events);
    await sayAll(run, turn);
    await run.complete();
    const seen = await live;
    const places = Array.from({ length: 20 }, (_, i) => Math.floor((i * seen.length) / 20));
    for (const place of places) {
      const starting_after = seen[place]?.sequence_number ?? 0;
      const rest = await all(await responses.retrieve(id, { stream: true, starting_after }));
      expect([place, textOf([...seen.slice(0, place + 1), ...rest])]).toEqual([place, 'Wörld peace 🌍']);
      if (place < seen.length - 1) expect(endOf(rest)).toEqual(endOf(seen));
      const numbers = rest.map(({ sequence_number }) => sequence_number);
      expect(numbers.every((number) => number > starting_after)).toBe(true);
    }
  });

  it('has nothing behind the last number, however many calls were open at the end', async () => {
    const { responses, begin } = await startChat();
    const { id, run } = await begin();
    for (let part = 0; part < 9; part += 1) {
      const call = { toolCallId: `c${part}`, toolName: 'look' };
      await run.add({ type: 'part.started', runId: run.run.runId, part, kind: 'tool-call', ...call });
    }
    await run.complete();
    const seen = await all(await responses.retrieve(id, { stream: true }));
    const starting_after = seen.at(-1)?.sequence_number ?? 0;
    expect(await all(await responses.retrieve(id, { stream: true, starting_after }))).toEqual([]);
  });

  it('is resumed while the run continues, on a connection that broke', async () => {
    const { responses, stream } = await startChat();
    const { events, run, id } = await stream();
    const seen: ResponseStreamEvent[] = [];
    await run.say('one ');
    for await (const event of events) {
      seen.push(event);
      if (event.type === 'response.output_text.delta') break;
    }
    await run.say('two ');
    const starting_after = seen.at(-1)?.sequence_number ?? 0;
    const rest = all(await responses.retrieve(id, { stream: true, starting_after }));
    await run.say('three');
    await run.complete();
    expect(textOf([...seen, ...(await rest)])).toBe('one two three');
  });

  it('gives the helper of the client exactly the rest behind every number', async () => {
    const { responses, stream } = await startChat();
    const { events, run, id } = await stream();
    const live = all(events);
    await sayAll(run, turn);
    await run.complete();
    const seen = await live;
    for (let place = 0; place < seen.length; place += 2) {
      const starting_after = seen[place]?.sequence_number ?? 0;
      const again = responses.stream({ response_id: id, starting_after });
      let text = textOf(seen.slice(0, place + 1));
      again.on('response.output_text.delta', ({ delta }) => (text += delta));
      expect([(await again.finalResponse()).output_text, text]).toEqual(['Wörld peace 🌍', 'Wörld peace 🌍']);
    }
  });

  it('shows a second viewer the same', async () => {
    const { responses, stream } = await startChat();
    const { events, run, id } = await stream();
    const [one, other] = [all(events), all(await responses.retrieve(id, { stream: true }))];
    await sayAll(run, turn);
    await run.complete();
    expect(await other).toEqual(await one);
  });

  it('is not changed by a takeover that says the same again', async () => {
    const { stream } = await startChat();
    const { events, run } = await stream();
    const live = all(events);
    await run.say('one two');
    await turn();
    await run.dropFrom(4, { takesOver: true });
    await run.say('two', ' three');
    await run.complete();
    const seen = await live;
    expect(textOf(seen)).toBe('one two three');
    expect(seen.filter(({ type }) => type === 'response.output_item.added')).toHaveLength(1);
  });

  it('ends the item as incomplete when a takeover says something else, and the helper has the new text', async () => {
    const { responses, take } = await startChat();
    const stream = responses.stream(HI);
    const items: (string | null | undefined)[] = [];
    stream.on('response.output_item.done', ({ item }) => 'status' in item && items.push(item.status));
    const run = await take();
    await run.say('one two');
    await stream.emitted('response.output_text.delta');
    await run.dropFrom(4, { takesOver: true });
    await run.say('three');
    await run.complete();
    expect(await stream.finalResponse()).toMatchObject({ output_text: 'one three', output: [{ type: 'message' }] });
    expect(items).toEqual(['incomplete', 'completed']);
  });

  it.each([
    ['a number behind the stream', { stream: true, starting_after: 9999 }, 400],
    ['a number without a stream', { starting_after: 1 }, 400],
    ['no number', { stream: true, starting_after: 'x' }, 400],
  ])('is refused for %s', async (_, query, status) => {
    const { client, begin } = await startChat();
    const { id } = await begin();
    expect(await failureOf(client().get(`/responses/${id}`, { query }))).toMatchObject({ status });
  });

  it('is cut when the node drains, and when the token expires', async () => {
    for (const end of ['drain', 'expiry'] as const) {
      const { h, client, take } = await startChat();
      const apiKey = h.token('ann', { exp: h.clock.now() / 1000 + 60 });
      const [events, run] = await Promise.all([
        client('ann', { apiKey }).responses.create({ ...HI, stream: true }),
        take(),
      ]);
      const seen = failureOf(all(events));
      await run.say('half');
      await turn();
      const drained = end === 'drain' ? h.gateway.drain({ windowMs: 10, deadlineMs: 100 }) : undefined;
      await h.clock.advance(end === 'drain' ? 100 : 600_000);
      await drained;
      expect(await seen).toBeInstanceOf(Error);
    }
  });
});

describe('POST /openai/v1/responses/{id}/cancel', () => {
  it('waits for the end, shows every viewer the end, and changes nothing when it is repeated', async () => {
    const { h, responses, stream } = await startChat();
    const { events, run, id } = await stream();
    const live = all(events);
    await run.say('half');
    const cancelled = responses.cancel(id);
    const isCancelling = async (): Promise<boolean> => {
      const loaded = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
      return loaded?.state.runs[0]?.state === 'cancelling';
    };
    while (!(await isCancelling())) await turn();
    // A request that does not wait would be answered within these.
    for (let i = 0; i < 5; i += 1) await responses.retrieve(id);
    await run.cancelled('ann');
    const output = [{ content: [{ text: 'half' }], status: 'incomplete' }];
    expect(await cancelled).toMatchObject({ id, status: 'cancelled', output });
    expect((await live).at(-1)).toMatchObject({ type: 'response.incomplete', response: { status: 'cancelled' } });
    expect(await responses.cancel(id)).toMatchObject({ status: 'cancelled' });
  });

  it('ends a run that waits', async () => {
    const { responses } = await startChat();
    const { id } = await responses.create({ ...HI, background: true });
    expect(await responses.cancel(id)).toMatchObject({ status: 'cancelled', output: [] });
  });
});

describe('a response', () => {
  it('lists its prompt as its input', async () => {
    const { responses, begin } = await startChat();
    const { run } = await begin();
    await run.complete();
    const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'low' } as const;
    const content = [{ type: 'input_text' as const, text: 'look' }, image];
    const { id } = await responses.create({ ...HI, input: [{ role: 'user', content }], background: true });
    const { data } = await responses.inputItems.list(id);
    expect(data).toMatchObject([{ type: 'message', role: 'user', content }]);
  });

  it('lists results of calls as its input, and is deleted with the conversation that it was given', async () => {
    const { h, responses } = await startChat();
    const call = { type: 'function_call', name: 'look', arguments: '{}' } as const;
    const results = ['c1', 'c2'].map((call_id) => ({
      type: 'function_call_output' as const,
      call_id,
      output: 'found',
    }));
    const input = [{ role: 'user' as const, content: 'look' }, ...results.map(({ call_id }) => ({ ...call, call_id }))];
    const { id } = await responses.create({ model: 'default', input: [...input, ...results], background: true });
    expect((await responses.inputItems.list(id)).data).toMatchObject(results);
    await responses.delete(id);
    expect((await h.call('GET', `/v1/sessions/${id.split('.')[1] ?? ''}`, 'ann')).status).toBe(404);
  });

  it('is deleted with the chat that it made for itself, and not from a conversation', async () => {
    const { h, responses, begin } = await startChat();
    const { id } = await responses.create({ model: 'default', input: 'hi', background: true });
    await responses.delete(id);
    expect((await h.call('GET', `/v1/sessions/${id.split('.')[1] ?? ''}`, 'ann')).status).toBe(404);
    const kept = await begin();
    expect(await failureOf(responses.delete(kept.id))).toMatchObject({ status: 409, code: 'response-in-conversation' });
  });

  it('is not deleted with a response that follows it meanwhile', async () => {
    const { h, responses } = await startChat();
    const first = { model: 'default', input: 'hi', background: true };
    const { id } = await responses.create(first);
    const remove = h.broker.remove.bind(h.broker);
    let isFollowed = false;
    vi.spyOn(h.broker, 'remove').mockImplementation(async (...args) => {
      const isChat = args[0].startsWith('chat/');
      if (isChat && !isFollowed) await responses.create({ ...first, previous_response_id: id });
      isFollowed ||= isChat;
      return remove(...args);
    });
    expect(await failureOf(responses.delete(id))).toMatchObject({ status: 409, code: 'conflict' });
    expect(await failureOf(responses.delete(id))).toMatchObject({ status: 409, code: 'response-in-conversation' });
    await h.clock.advance(2 * ENDED_SOON_MS);
    const described = await h.call('GET', `/v1/sessions/${id.split('.')[1] ?? ''}`, 'ann');
    expect(described.body).toMatchObject({ messages: 2, queued: 1 });
  });

  it('is 404 for other users and for ids that are none, on every route', async () => {
    const { client, begin } = await startChat();
    const { id } = await begin();
    for (const [user, given] of [
      ['eve', id],
      ['ann', id.replace('.s', '.other')],
      ['ann', 'resp_gone.s'],
      ['ann', 'resp_abc'],
      ['ann', id.replace('resp_', 'chatcmpl-')],
    ] as const) {
      const { responses } = client(user);
      for (const request of [
        () => responses.retrieve(given),
        () => responses.retrieve(given, { stream: true }),
        () => responses.cancel(given),
        () => responses.delete(given),
        () => responses.inputItems.list(given),
      ])
        expect([given, await failureOf(request())]).toMatchObject([given, { status: 404 }]);
    }
  });

  const asked: readonly [string, Readonly<Record<string, unknown>>][] = [
    ['input', { input: '' }],
    [
      'input',
      {
        conversation: null,
        previous_response_id: 'resp_a.s',
        input: [
          { role: 'user', content: 'a' },
          { role: 'user', content: 'b' },
        ],
      },
    ],
    ['input', { input: [{ role: 'assistant', content: 'a' }] }],
    ['input[0].role', { input: [{ role: 'robot', content: 'a' }] }],
    ['text.format.type', { text: { format: { type: 'grammar' } } }],
    ['max_output_tokens', { max_output_tokens: 0.5 }],
    ['input[0].type', { input: [{ type: 'item_reference', id: 'x' }] }],
    ['input[0].content[0].file_id', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] }],
    ['tools[0].type', { tools: [{ type: 'web_search' }] }],
    ['prompt', { prompt: { id: 'p' } }],
    ['truncation', { truncation: 'auto' }],
    ['background', { background: true, store: false }],
    ['conversation', { previous_response_id: 'resp_a.s' }],
    ['conversation', { conversation: { id: 'no.id' } }],
    ['previous_response_id', { conversation: null, previous_response_id: 'msg_a' }],
  ];

  it.each(asked)('is refused with the name of the parameter %s, and stores nothing', async (param, more) => {
    const { h, client } = await startChat();
    const failed = await failureOf(client().post('/responses', { body: { ...HI, ...more } }));
    expect(failed).toMatchObject({ status: 400, type: 'invalid_request_error', param });
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });
});
