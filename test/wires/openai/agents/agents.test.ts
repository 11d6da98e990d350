// Agents sessions with the stock client: whole streams, its helpers, cuts and resumes, viewers, Stop, and lists.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FakeRun } from '../../../support/gateway-fake-run.ts';
import { turn } from '../../../support/wait-for.ts';
import { AGENTS, failureOf, startWorker } from '../stock-client.ts';
import { NONE, Reader, startAgents, textOf, typesOf, type AgentSessionEvent } from './agents-client.ts';

const IDLE = 'idle';

/** Reasoning, text, a call of the agent, and more text. */
async function sayAll(run: FakeRun): Promise<void> {
  const { runId } = run.run;
  await run.add({ type: 'part.started', runId, part: 0, kind: 'reasoning' });
  for (const word of ['let ', 'me ', 'think']) {
    await run.sayIn(0, 'reasoning', word);
    await turn();
  }
  const call = { toolCallId: 'c1', toolName: 'look', executor: 'agent' } as const;
  await run.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', ...call });
  await run.sayIn(1, 'tool-call', '{"at"', ':1}');
  await run.add({ type: 'tool.result', runId, toolCallId: 'c1', result: { found: true } });
  await run.add({ type: 'part.started', runId, part: 2, kind: 'text' });
  for (const word of ['Wörld ', 'peace ', '🌍']) {
    await run.sayIn(2, 'text', word);
    await turn();
  }
}

const TEXT = 'Wörld peace 🌍';

describe('POST /openai/v1/agents/sessions', () => {
  it('gives the helper of the client the whole turn of a session that it makes', async () => {
    const { sessions, take } = await startAgents();
    const stream = await sessions.create({
      environment: NONE,
      agent: { model: 'default' },
      input: 'hi',
      metadata: { for: 'test' },
      stream: true,
    });
    const seen: AgentSessionEvent[] = [];
    const result = stream.withResultCollection().finalResult();
    const first = await sessions.list();
    const id = first.data[0]?.id ?? '';
    const run = await take(id);
    await sayAll(run);
    await run.complete();
    expect(await result).toMatchObject({
      turn: { id: run.run.runId, status: 'completed', session_id: id, usage: { total_tokens: 2 } },
      messages: [{ role: 'assistant', status: 'completed' }],
      output_text: TEXT,
    });
    expect(seen).toEqual([]);
  });

  it('tells the session, its turn and its items, each with an id of its own', async () => {
    const { sessions, take } = await startAgents();
    const created = await sessions.create({
      environment: NONE,
      agent: { model: 'default' },
      input: 'hi',
      stream: true,
    });
    const reader = Reader.of(created);
    await reader.until('turn.created');
    const [first] = reader.seen;
    const id = first?.type === 'agent.session.created' ? first.session.id : '';
    const run = await take(id);
    await sayAll(run);
    await run.complete();
    await reader.until(IDLE);
    const whole = [...new Set(reader.types)];
    expect(whole).toEqual([
      'created',
      'turn.created',
      'turn.in_progress',
      'turn.item.added',
      'turn.reasoning_summary_part.added',
      'turn.reasoning_summary_text.delta',
      'turn.reasoning_summary_text.done',
      'turn.reasoning_summary_part.done',
      'turn.item.done',
      'turn.content_part.added',
      'turn.output_text.delta',
      'turn.output_text.done',
      'turn.content_part.done',
      'turn.completed',
      'idle',
    ]);
    const ids = reader.seen.map(({ event_id }) => event_id);
    expect(new Set(ids).size).toBe(ids.length);
    const done = reader.seen.flatMap((event) => (event.type === 'agent.session.turn.item.done' ? [event.item] : []));
    expect(done).toMatchObject([
      { type: 'reasoning', summary: [{ text: 'let me think' }] },
      { type: 'mcp_call', server_label: 'default', name: 'look', arguments: '{"at":1}', output: { found: true } },
      { type: 'message', content: [{ type: 'output_text', text: TEXT }] },
    ]);
    expect(reader.seen.at(-1)).toMatchObject({ session: { id, status: 'idle', required_actions: [] } });
    reader.leave();
  });

  it('makes a session with its metadata and its agent, which is listed, changed and deleted', async () => {
    const { h, sessions } = await startAgents();
    const schema = { type: 'object', properties: {} };
    const session = await sessions.create({
      environment: NONE,
      agent: {
        model: 'default',
        instructions: 'be brief',
        reasoning: { effort: 'low' },
        text: { format: { type: 'json_schema', schema } },
        tools: [{ type: 'function', name: 'look', description: 'looks', parameters: schema }],
      },
      input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }],
      metadata: { for: 'test' },
    });
    const { id } = session;
    expect(session).toMatchObject({
      object: 'agent.session',
      status: 'in_progress',
      metadata: { for: 'test' },
      agent: {
        id: 'default',
        instructions: 'be brief',
        reasoning: { effort: 'low' },
        text: { format: { type: 'json_schema', schema } },
        tools: [{ type: 'function', name: 'look' }],
      },
    });
    expect(await sessions.update(id, { metadata: { for: 'more' } })).toMatchObject({ id, metadata: { for: 'more' } });
    expect(await sessions.update(id, { metadata: null })).toMatchObject({ metadata: {} });
    expect(await sessions.retrieve(id)).toMatchObject({ id, metadata: {} });
    expect((await sessions.list()).data.map((one) => one.id)).toEqual([id]);
    expect(await sessions.delete(id)).toEqual({ id, object: 'agent.session.deleted', deleted: true });
    expect(await failureOf(sessions.retrieve(id))).toMatchObject({ status: 404, code: 'not-found' });
    expect((await h.call('GET', `/v1/sessions/${id}`, 'ann')).status).toBe(404);
  });

  it('is the same session for a repeated request with its key', async () => {
    const { sessions } = await startAgents();
    const body = { environment: NONE, agent: { model: 'default' }, input: 'hi' } as const;
    const again = { headers: { 'idempotency-key': 'k' } };
    const one = await sessions.create(body, again);
    expect((await sessions.create(body, again)).id).toBe(one.id);
    expect((await sessions.turns.list(one.id)).data).toHaveLength(1);
  });
});

describe('a model', () => {
  it('receives the settings of the session with each prompt', async () => {
    const { h, sessions } = await startAgents();
    const model = startWorker(h);
    const tools = [{ type: 'function' as const, name: 'look', description: 'looks', parameters: { type: 'object' } }];
    const { id } = await sessions.create({
      environment: NONE,
      agent_id: 'default',
      agent: { instructions: 'be brief', tools },
      input: 'hi',
    });
    const first = await model.call(0);
    first.say('hello').finish();
    await sessions.events.create(id, {
      events: [
        {
          type: 'agent.session.input.message',
          input: [{ role: 'user', content: [{ type: 'input_text', text: 'more' }] }],
        },
      ],
    });
    const second = await model.call(1);
    for (const { request } of [first, second]) {
      expect(request.options?.tools).toMatchObject([{ name: 'look', parameters: { type: 'object' } }]);
      expect(request.messages.at(0)).toEqual({ role: 'system', content: 'be brief' });
    }
    expect(second.request.messages.at(-1)).toMatchObject({ role: 'user', content: [{ type: 'text', text: 'more' }] });
    second.finish();
  });
});

describe('sessions.stream() of the client', () => {
  it('sends a prompt to an idle session and has the result of its own turn', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin();
    await run.say('first');
    await run.complete();
    const stream = sessions.stream(id, { input: 'again' });
    const result = stream.finalResult();
    const second = await take(id);
    await sayAll(second);
    await second.complete();
    expect(await result).toMatchObject({ turn_id: second.run.runId, output_text: TEXT });
  });

  it('throws for a turn that has failed, with what was said', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin();
    await run.complete();
    const failure = failureOf(sessions.stream(id, { input: 'again' }).finalResult());
    const second = await take(id);
    await second.say('half');
    await second.fail({ code: 'upstream-rate-limited', message: 'it broke', retryable: true });
    const error = { code: 'rate_limit_exceeded', message: 'it broke (upstream-rate-limited)' };
    expect(await failure).toMatchObject({ reason: 'failed', turn: { status: 'failed', error } });
    expect(await sessions.turns.retrieve(second.run.runId, { session_id: id })).toMatchObject({
      status: 'failed',
      error,
    });
  });
});

describe('GET /openai/v1/agents/sessions/{id}/events', () => {
  it('tells an idle session nothing of the past, and then each turn', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin();
    await run.say('past');
    await run.complete();
    const reader = await Reader.open(sessions, id);
    for (const text of ['one', 'two']) {
      await sessions.events.create(id, {
        events: [
          { type: 'agent.session.input.message', input: [{ role: 'user', content: [{ type: 'input_text', text }] }] },
        ],
      });
      const next = await take(id);
      await next.say(text);
      await next.complete();
    }
    await reader.until(IDLE, 2);
    expect(textOf(reader.seen)).toBe('onetwo');
    expect(reader.types.filter((type) => /^turn\.(?:created|completed)$|^idle$/.test(type))).toEqual([
      'turn.created',
      'turn.completed',
      'idle',
      'turn.created',
      'turn.completed',
      'idle',
    ]);
    reader.leave();
  });

  it('tells a busy session its turn from the beginning, and idle once nothing waits', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin();
    await run.say('one ');
    await sessions.events.create(id, {
      events: [
        {
          type: 'agent.session.input.message',
          input: [{ role: 'user', content: [{ type: 'input_text', text: 'x' }] }],
        },
      ],
    });
    const reader = await Reader.open(sessions, id);
    await reader.until('turn.output_text.delta');
    await run.say('two');
    await run.complete();
    const second = await take(id);
    await second.say('three');
    await second.complete();
    await reader.until(IDLE);
    expect(textOf(reader.seen)).toBe('one twothree');
    expect(reader.types.filter((type) => type === IDLE)).toHaveLength(1);
    expect(reader.types[0]).toBe('turn.created');
    reader.leave();
  });

  it('shows a second viewer the same events', async () => {
    const { sessions, begin } = await startAgents();
    const { id, run } = await begin();
    const [one, other] = [await Reader.open(sessions, id), await Reader.open(sessions, id)];
    await sayAll(run);
    await run.complete();
    await Promise.all([one.until(IDLE), other.until(IDLE)]);
    expect(other.seen).toEqual(one.seen);
    one.leave();
    other.leave();
  });

  it('gives exactly the rest behind any event, while the turn is live and long after it', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin();
    const live = await Reader.open(sessions, id);
    await sayAll(run);
    await run.complete();
    await sessions.events.create(id, {
      events: [
        {
          type: 'agent.session.input.message',
          input: [{ role: 'user', content: [{ type: 'input_text', text: 'x' }] }],
        },
      ],
    });
    const second = await take(id);
    await second.say('more ', 'of ', 'it');
    await second.complete();
    await live.until(IDLE, 2);
    live.leave();
    const seed = Date.now() % 1_000_000;
    const places = new Set<number>();
    fc.assert(
      fc.property(fc.nat({ max: live.seen.length - 2 }), (place) => void places.add(place)),
      { seed, numRuns: 60 },
    );
    console.log(`cuts of an Agents session: seed ${seed}, ${places.size} places`);
    expect(places.size).toBeGreaterThanOrEqual(20);
    for (const place of places) {
      const after = live.seen[place]?.event_id ?? '';
      const rest = await Reader.open(sessions, id, after, place % 2 === 0 ? 'query' : 'last-event-id');
      const wanted = live.seen.slice(place + 1);
      const idles = typesOf(wanted).filter((type) => type === IDLE).length;
      await rest.until(IDLE, idles);
      rest.leave();
      const joined = [...live.seen.slice(0, place + 1), ...rest.seen];
      expect([place, textOf(joined)]).toEqual([place, `${TEXT}more of it`]);
      // Deltas of an answer that has ended are merged; all else is the same.
      const noDelta = (event: AgentSessionEvent): boolean => !event.type.endsWith('.delta');
      expect([place, joined.filter(noDelta)]).toEqual([place, live.seen.filter(noDelta)]);
    }
  });

  it('goes on with the rest where a connection broke in the middle of a turn', async () => {
    const { sessions, begin } = await startAgents();
    const { id, run } = await begin();
    const first = await Reader.open(sessions, id);
    await run.say('one ');
    await first.until('turn.output_text.delta');
    first.leave();
    await run.say('two ');
    const second = await Reader.open(sessions, id, first.seen.at(-1)?.event_id);
    await second.until('turn.output_text.delta');
    await run.say('three');
    await run.complete();
    await second.until(IDLE);
    expect(textOf([...first.seen, ...second.seen])).toBe('one two three');
    second.leave();
  });

  it('does not change with a takeover that says the same again', async () => {
    const { sessions, begin } = await startAgents();
    const { id, run } = await begin();
    const reader = await Reader.open(sessions, id);
    await run.say('one two');
    await turn();
    await run.dropFrom(4, { takesOver: true });
    await run.say('two', ' three');
    await run.complete();
    await reader.until(IDLE);
    expect(textOf(reader.seen)).toBe('one two three');
    expect(reader.types.filter((type) => type === 'turn.item.added')).toHaveLength(1);
    reader.leave();
  });

  it('has only the new text in the result of a turn whose takeover says something else', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin();
    await run.complete();
    const stream = sessions.stream(id, { input: 'again' });
    const result = stream.finalResult();
    const second = await take(id);
    await second.say('one two');
    await turn();
    await second.dropFrom(4, { takesOver: true });
    await second.say('three');
    await second.complete();
    expect((await result).output_text).toBe('one three');
  });

  it('is refused for an id of no event, and of another epoch', async () => {
    const { sessions, begin } = await startAgents();
    const { id } = await begin();
    for (const after of ['nonsense', 'e9.0.0', 'e1.999999.0', 'e1.1'])
      expect([after, await failureOf(Reader.open(sessions, id, after))]).toMatchObject([
        after,
        { status: 400, param: 'after' },
      ]);
  });

  it('breaks, and does not end, when the node drains, when the token expires, and when the session is deleted', async () => {
    for (const end of ['drain', 'delete', 'expiry'] as const) {
      const { h, sessions, begin } = await startAgents();
      const { id, run } = await begin();
      const reader = await Reader.open(sessions, id);
      await run.say('half');
      await reader.until('turn.output_text.delta');
      if (end === 'delete') await sessions.delete(id);
      const drained = end === 'drain' ? h.gateway.drain({ windowMs: 10, deadlineMs: 100 }) : undefined;
      await h.clock.advance(end === 'expiry' ? 4_000_000 : 100);
      await drained;
      expect([end, await reader.ended]).toEqual([end, expect.any(Error)]);
    }
  });
});

describe('POST /openai/v1/agents/sessions/{id}/events', () => {
  it('stops the turn, and does nothing where no turn is', async () => {
    const { h, sessions, begin } = await startAgents();
    const { id, run } = await begin();
    const reader = await Reader.open(sessions, id);
    await run.say('half');
    await reader.until('turn.output_text.delta');
    const cancel = { events: [{ type: 'agent.session.input.cancel' as const }] };
    await sessions.events.create(id, cancel);
    const loaded = await h.commandLog.load({ tenant: 'default', sessionId: id });
    expect(loaded?.state.runs[0]?.state).toBe('cancelling');
    await run.cancelled('ann');
    await reader.until(IDLE);
    expect(reader.types).toContain('turn.cancelled');
    await sessions.events.create(id, cancel);
    expect(await sessions.turns.retrieve(run.run.runId, { session_id: id })).toMatchObject({ status: 'cancelled' });
    reader.leave();
  });

  it('follows a turn that ended with calls by a turn with their results', async () => {
    const { h, sessions } = await startAgents();
    const model = startWorker(h);
    const { id } = await sessions.create({ environment: NONE, agent: { model: 'default' }, input: 'look' });
    const reader = await Reader.open(sessions, id);
    (await model.call(0)).say(
      { type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{}' },
      { type: 'finish', reason: 'tool-calls' },
    );
    await reader.until(IDLE);
    const added = reader.seen.flatMap((event) => (event.type === 'agent.session.turn.item.added' ? [event.item] : []));
    expect(added).toMatchObject([{ type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' }]);
    const turn_id = String(added[0]?.turn_id);
    await sessions.events.create(id, {
      events: [{ type: 'agent.session.input.tool_result', turn_id, call_id: 'c1', success: true, output: 'a chair' }],
    });
    const second = await model.call(1);
    expect(second.request.messages.at(-1)).toMatchObject({ role: 'tool', toolCallId: 'c1', content: 'a chair' });
    second.say('a chair.').finish();
    await reader.until(IDLE, 2);
    expect(textOf(reader.seen)).toBe('a chair.');
    reader.leave();
  });

  it('refuses a result of an unknown call in the words that the client retries', async () => {
    const { sessions, begin } = await startAgents();
    const { id, run } = await begin();
    for (const turn_id of [run.run.runId, 'nobody'])
      expect(
        await failureOf(
          sessions.events.create(id, {
            events: [{ type: 'agent.session.input.tool_result', turn_id, call_id: 'c9', success: true, output: '' }],
          }),
        ),
      ).toMatchObject({
        status: 400,
        code: 'invalid_request_error',
        error: { message: 'Unknown pending tool call: c9' },
      });
  });

  it('is one prompt for a repeated request with its key, and several for several events', async () => {
    const { sessions, begin } = await startAgents();
    const { id } = await begin();
    const message = (text: string) => ({
      type: 'agent.session.input.message' as const,
      input: [{ role: 'user' as const, content: [{ type: 'input_text' as const, text }] }],
    });
    const body = { events: [message('same'), message('same')], 'Idempotency-Key': 'k' };
    await sessions.events.create(id, body);
    await sessions.events.create(id, body);
    expect((await sessions.turns.list(id)).data).toHaveLength(3);
  });
});

describe('the lists of a session', () => {
  it('page through items and turns in both directions', async () => {
    const { sessions, begin, take } = await startAgents();
    const { id, run } = await begin('one');
    await sayAll(run);
    await run.complete();
    for (const text of ['two', 'three']) {
      await sessions.events.create(id, {
        events: [
          { type: 'agent.session.input.message', input: [{ role: 'user', content: [{ type: 'input_text', text }] }] },
        ],
      });
      const next = await take(id);
      await next.say(`answer ${text}`);
      await next.complete();
    }
    const all = (await sessions.items.list(id, { order: 'asc', limit: 100 })).data;
    expect(all.map(({ type }) => type)).toEqual([
      'message',
      'reasoning',
      'mcp_call',
      'message',
      'message',
      'message',
      'message',
      'message',
    ]);
    expect(all[2]).toMatchObject({ server_label: 'default', output: { found: true }, status: 'completed' });
    expect(all[0]).toMatchObject({ role: 'user', content: [{ type: 'input_text', text: 'one' }] });
    expect(all[7]).toMatchObject({ role: 'assistant', content: [{ type: 'output_text', text: 'answer three' }] });
    for (const order of ['asc', 'desc'] as const) {
      const wanted = order === 'asc' ? all : all.toReversed();
      for (const limit of [1, 3, 7]) {
        const paged = [];
        for await (const item of sessions.items.list(id, { order, limit })) paged.push(item);
        expect([order, limit, paged]).toEqual([order, limit, wanted]);
        const turns = [];
        for await (const one of sessions.turns.list(id, { order, limit })) turns.push(one.id);
        expect(turns).toHaveLength(3);
        expect(turns[order === 'asc' ? 0 : 2]).toBe(run.run.runId);
      }
    }
    const ofTurn = [];
    for await (const item of sessions.turns.items.list(run.run.runId, { session_id: id, limit: 2, order: 'asc' }))
      ofTurn.push(item);
    expect(ofTurn).toEqual(all.slice(0, 4));
    expect(await failureOf(sessions.items.list(id, { after: 'msg_x_0' }))).toMatchObject({
      status: 400,
      param: 'after',
    });
    expect(await failureOf(sessions.turns.list(id, { after: 'x' }))).toMatchObject({ status: 400, param: 'after' });
  });

  it('page through the sessions of the user only', async () => {
    const { h, sessions, sessionsOf, begin } = await startAgents();
    const ids: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      ids.push((await begin()).id);
      await h.clock.advance(1000);
    }
    for (const order of ['asc', 'desc'] as const) {
      const paged = [];
      for await (const { id } of sessions.list({ order, limit: 3 })) paged.push(id);
      expect(paged).toEqual(order === 'asc' ? ids : ids.toReversed());
    }
    expect((await sessionsOf('eve').list()).data).toEqual([]);
  });
});

describe('a session', () => {
  it('is 404 for other users, on every route', async () => {
    const { sessionsOf, begin } = await startAgents();
    const { id, run } = await begin();
    const eve = sessionsOf('eve');
    const { runId } = run.run;
    for (const request of [
      () => eve.retrieve(id),
      () => eve.update(id, { metadata: {} }),
      () => eve.delete(id),
      () => eve.events.create(id, { events: [{ type: 'agent.session.input.cancel' }] }),
      () => Reader.open(eve, id),
      () => Reader.open(eve, id, 'e1.1.0'),
      () => eve.items.list(id),
      () => eve.turns.list(id),
      () => eve.turns.retrieve(runId, { session_id: id }),
      () => eve.turns.items.list(runId, { session_id: id }),
    ])
      expect([request.toString(), await failureOf(request())]).toMatchObject([request.toString(), { status: 404 }]);
  });

  it('is 401 with a wrong token', async () => {
    const { client } = await startAgents();
    const wrong = client('ann', { apiKey: 'nonsense' });
    expect(await failureOf(wrong.get('/agents/sessions'))).toMatchObject({ status: 401, code: 'invalid_api_key' });
  });

  const asked: readonly [string, Readonly<Record<string, unknown>>][] = [
    ['environment', { environment: null }],
    ['environment.type', { environment: { type: 'openai_hosted' } }],
    ['agent.model', { agent: {} }],
    ['input', { input: null }],
    ['input[0].role', { input: [{ role: 'assistant', content: [] }] }],
    ['input[0].content[0].type', { input: [{ role: 'user', content: [{ type: 'input_audio' }] }] }],
    ['metadata', { metadata: { a: 1 } }],
    ['spend_control', { spend_control: { limit: 5 } }],
    ['review', { review: 'auto_review' }],
    ['vault_ids', { vault_ids: ['v'] }],
    ['agent.tools[0].type', { agent: { model: 'default', tools: [{ type: 'web_search' }] } }],
    ['agent.tools[0].async', { agent: { model: 'default', tools: [{ type: 'function', name: 'a', async: true }] } }],
    ['agent.multi_agent', { agent: { model: 'default', multi_agent: { enabled: true } } }],
    ['agent.text.format.type', { agent: { model: 'default', text: { format: { type: 'grammar' } } } }],
  ];

  it.each(asked)('is refused with the name of the parameter %s, and stores nothing', async (param, more) => {
    const { h, client } = await startAgents();
    const body = { environment: NONE, agent: { model: 'default' }, input: 'hi', ...more };
    const failed = await failureOf(client().post('/agents/sessions', { body }));
    expect(failed).toMatchObject({ status: 400, type: 'invalid_request_error', param });
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });

  it('is 404 for an agent that there is not, and for what is not served', async () => {
    const { client, begin } = await startAgents({ config: { agents: AGENTS } });
    const body = { environment: NONE, agent: { model: 'nobody' }, input: 'hi' };
    expect(await failureOf(client().post('/agents/sessions', { body }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    const { id } = await begin();
    for (const path of ['subagents', 'artifacts', 'traces'])
      expect(await failureOf(client().get(`/agents/sessions/${id}/${path}`))).toMatchObject({ status: 404 });
    expect(await failureOf(client().get('/agents/sessions', { query: { agent_id: 'default' } }))).toMatchObject({
      status: 400,
      param: 'agent_id',
    });
  });
});
