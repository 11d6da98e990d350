// Every HTTP route: its answer in the normal case, and each of its refusals. [PROTOCOL §3]
import { describe, expect, it } from 'vitest';
import type { KnownAgent } from '../../src/gateway/known-agents.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';

async function send(
  h: Harness,
  sessionId: string,
  body: Readonly<Record<string, unknown>>,
): Promise<{ messageId: string; runId: string; position: string; queued: number }> {
  const answer = await h.call('POST', `/v1/sessions/${sessionId}/messages`, 'ann', body);
  expect(answer.status, answer.text).toBe(202);
  return answer.body as never;
}

describe('GET /v1/agents', () => {
  it('shows of each agent what a caller may choose, and nothing else', async () => {
    const entry = {
      model: 'large',
      models: ['huge'],
      description: 'writes verse',
      promptCharsMax: 2000,
      systemPrompt: 'hidden',
      keyEnv: 'POET_KEY',
    };
    const h = await startHarness({
      config: {
        agents: new Map<string, KnownAgent>([
          ['default', { model: 'demo', isDemo: true }],
          ['poet', entry],
        ]),
      },
    });
    expect(await h.call('GET', '/v1/agents', 'ann')).toMatchObject({
      status: 200,
      body: {
        agents: [
          { name: 'default', model: 'demo', models: ['demo'], isDefault: true, isDemo: true },
          {
            name: 'poet',
            description: 'writes verse',
            model: 'large',
            models: ['large', 'huge'],
            promptCharsMax: 2000,
            isDefault: false,
            isDemo: false,
          },
        ],
        isComplete: true,
      },
    });
    const { text } = await h.call('GET', '/v1/agents', 'ann');
    expect(text).not.toMatch(/hidden|POET_KEY/);
  });

  it('says when any agent name is accepted, and answers 401 without a token', async () => {
    const h = await startHarness();
    expect((await h.call('GET', '/v1/agents', 'ann')).body).toEqual({ agents: [], isComplete: false });
    expect((await h.call('GET', '/v1/agents')).status).toBe(401);
  });
});

describe('POST /v1/sessions', () => {
  it('makes a session with an id of its own choosing: at least 128 bits', async () => {
    const h = await startHarness();
    const { status, body } = await h.call('POST', '/v1/sessions', 'ann', { title: 'first', metadata: { a: 1 } });
    expect(status).toBe(201);
    expect(body['sessionId']).toMatch(/^[A-Za-z0-9_-]{22,}$/);
    expect(body['position']).toMatch(/^e\d+\.0$/);
  });

  it('treats a missing body as an empty object', async () => {
    const h = await startHarness();
    expect((await h.call('POST', '/v1/sessions', 'ann')).status).toBe(201);
  });

  it('answers 200 for the caller’s existing session, and 404 for another user’s', async () => {
    const h = await startHarness();
    expect((await h.call('POST', '/v1/sessions', 'ann', { sessionId: 'mine' })).status).toBe(201);
    expect((await h.call('POST', '/v1/sessions', 'ann', { sessionId: 'mine' })).status).toBe(200);
    expect((await h.call('POST', '/v1/sessions', 'bob', { sessionId: 'mine' })).body.error?.code).toBe('not-found');
  });

  it('keeps a ttl between its limits', async () => {
    const h = await startHarness();
    const ttlOf = async (ttlMs: number): Promise<number> => {
      const { body } = await h.call('POST', '/v1/sessions', 'ann', { ttlMs });
      const told = await h.call('GET', `/v1/sessions/${String(body['sessionId'])}`, 'ann');
      return Date.parse(String(told.body['expiresAt'])) - h.clock.now();
    };
    expect(await ttlOf(1)).toBe(60_000);
    expect(await ttlOf(Number.MAX_SAFE_INTEGER)).toBe(365 * 24 * 60 * 60 * 1000);
    expect(await ttlOf(120_000)).toBe(120_000);
  });

  it.each([
    [{ sessionId: '../x' }],
    [{ sessionId: 'a'.repeat(129) }],
    [{ sessionId: '' }],
    [{ sessionId: 7 }],
    [{ title: 7 }],
    [{ title: 'x'.repeat(513) }],
    [{ metadata: 'x' }],
    [{ metadata: [1] }],
    [{ ttlMs: 0 }],
    [{ ttlMs: -1 }],
    [{ ttlMs: 1.5 }],
    [{ ttlMs: '60000' }],
    [[]],
    ['text'],
    [null],
  ])('refuses %j', async (body) => {
    const h = await startHarness();
    const answer = await h.call('POST', '/v1/sessions', 'ann', body);
    expect([answer.status, answer.body.error?.code]).toEqual([400, 'invalid-request']);
  });

  it('ignores fields it does not know', async () => {
    const h = await startHarness();
    expect((await h.call('POST', '/v1/sessions', 'ann', { color: 'red' })).status).toBe(201);
  });

  it('refuses metadata above its size', async () => {
    const h = await startHarness();
    const answer = await h.call('POST', '/v1/sessions', 'ann', { metadata: { a: 'x'.repeat(20_000) } });
    expect([answer.status, answer.body.error?.code]).toEqual([413, 'too-large']);
  });
});

/** The ids on each page. `between` changes the list behind a page, counted from 0. */
async function listPages(
  h: Harness,
  limit: number,
  between: (page: number) => Promise<unknown> = async () => undefined,
  as = 'ann',
): Promise<string[][]> {
  const pages: string[][] = [];
  let after = '';
  do {
    const { status, body } = await h.call(
      'GET',
      `/v1/sessions?limit=${limit}${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`,
      as,
    );
    expect(status).toBe(200);
    pages.push((body['sessions'] as { sessionId: string }[]).map((one) => one.sessionId));
    expect(body['more']).toBe('after' in body);
    after = (body['after'] as string | undefined) ?? '';
    await between(pages.length - 1);
  } while (after !== '');
  return pages;
}

describe('GET /v1/sessions', () => {
  it('lists the caller’s sessions in pages, last active first', async () => {
    const h = await startHarness();
    for (const sessionId of ['a', 'b', 'c']) {
      await h.call('POST', '/v1/sessions', 'ann', { sessionId });
      await h.clock.advance(10);
    }
    await h.call('POST', '/v1/sessions', 'bob', { sessionId: 'd' });
    await send(h, 'a', { content: 'again' });
    expect(await listPages(h, 10)).toEqual([['a', 'c', 'b']]);
    expect(await listPages(h, 2)).toEqual([['a', 'c'], ['b']]);
    const { body } = await h.call('GET', '/v1/sessions?limit=2&page=0', 'ann');
    expect([body['more'], typeof body['after']]).toEqual([true, 'string']);
  });

  it('has every remaining chat once when others are removed, made and moved between the pages', async () => {
    const h = await startHarness();
    const names = Array.from({ length: 16 }, (_, i) => `c${i}`);
    for (const sessionId of names) {
      await h.call('POST', '/v1/sessions', 'ann', { sessionId });
      await h.clock.advance(10);
    }
    const between = [
      // The chat at the top of the first page is removed, so all others move up.
      async () => h.call('DELETE', '/v1/sessions/c15', 'ann'),
      // A chat of a later page moves to the top, and so does one of the first page.
      async () => Promise.all([send(h, 'c1', { content: 'hi' }), send(h, 'c14', { content: 'hi' })]),
      // New chats push all others down.
      async () =>
        Promise.all(['n1', 'n2', 'n3'].map(async (sessionId) => h.call('POST', '/v1/sessions', 'ann', { sessionId }))),
    ];
    const pages = await listPages(h, 5, async (page) => between[page]?.());
    const stayed = pages.flat().filter((id) => id !== 'c15' && !id.startsWith('n'));
    expect(stayed.toSorted()).toEqual(names.filter((id) => id !== 'c15').toSorted());
  });

  it('pages the chats of a token for given sessions as well', async () => {
    const h = await startHarness();
    for (const sessionId of ['a', 'b', 'c', 'd']) {
      await h.call('POST', '/v1/sessions', 'ann', { sessionId });
      await h.clock.advance(10);
    }
    const pages = await listPages(
      h,
      1,
      async (page) => (page === 0 ? send(h, 'a', { content: 'hi' }) : undefined),
      h.bearer('ann', { sessions: ['a', 'b', 'd', 'gone'] }),
    );
    expect(pages).toEqual([['d'], ['b'], ['a']]);
  });

  it('shows a token for given sessions these sessions only', async () => {
    const h = await startHarness();
    for (const sessionId of ['a', 'b']) await h.call('POST', '/v1/sessions', 'ann', { sessionId });
    const { body } = await h.call('GET', '/v1/sessions', h.bearer('ann', { sessions: ['b', 'gone'] }));
    expect((body['sessions'] as { sessionId: string }[]).map((one) => one.sessionId)).toEqual(['b']);
  });

  it.each([
    'limit=0',
    'limit=101',
    'limit=abc',
    'limit=1.5',
    'page=-1',
    'page=1',
    'limit=1&limit=2',
    'after=',
    'after=e1.5',
    'after=abcdefgh..x',
    'after=earliest',
  ])('refuses ?%s', async (query) => {
    const h = await startHarness();
    expect((await h.call('GET', `/v1/sessions?${query}`, 'ann')).status).toBe(400);
  });
});

describe('GET, PATCH and DELETE /v1/sessions/{id}', () => {
  it('describes counts, not bodies', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', title: 't' });
    const sent = await send(h, 's', { content: 'one' });
    await send(h, 's', { content: 'two' });
    const { body } = await h.call('GET', '/v1/sessions/s', 'ann');
    expect(body).toMatchObject({
      sessionId: 's',
      title: 't',
      queued: 1,
      messages: 2,
      activeRun: { runId: sent.runId, state: 'queued' },
    });
    expect(JSON.stringify(body)).not.toContain('one');
  });

  it('changes what is given and keeps the rest', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', title: 't', metadata: { a: 1 } });
    const patched = await h.call('PATCH', '/v1/sessions/s', 'ann', { title: 'u' });
    expect([patched.status, patched.body['title'], patched.body['metadata']]).toEqual([200, 'u', { a: 1 }]);
    const again = await h.call('PATCH', '/v1/sessions/s', 'ann', { metadata: {} });
    expect([again.body['title'], again.body['metadata']]).toEqual(['u', {}]);
  });

  it('refuses a change of nothing', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    expect((await h.call('PATCH', '/v1/sessions/s', 'ann', {})).status).toBe(400);
  });

  it('removes a session: 204, then 404', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const removed = await h.call('DELETE', '/v1/sessions/s', 'ann');
    expect([removed.status, removed.text]).toEqual([204, '']);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(404);
    expect((await h.call('DELETE', '/v1/sessions/s', 'ann')).status).toBe(404);
  });
});

describe('POST /v1/sessions/{id}/messages', () => {
  it('makes the session with the first prompt, and queues the next', async () => {
    const h = await startHarness();
    expect(await send(h, 'fresh', { content: 'one' })).toMatchObject({ queued: 0 });
    expect(await send(h, 'fresh', { content: 'two' })).toMatchObject({ queued: 1 });
  });

  it('makes one message when it is sent again, and is a conflict with another body', async () => {
    const h = await startHarness();
    const first = await send(h, 's', { messageId: 'm1', content: 'one' });
    expect(await send(h, 's', { messageId: 'm1', content: 'one' })).toEqual(first);
    const other = await h.call('POST', '/v1/sessions/s/messages', 'ann', { messageId: 'm1', content: 'two' });
    expect([other.status, other.body.error?.code, other.body.error?.retryable]).toEqual([
      409,
      'message-conflict',
      false,
    ]);
  });

  it('fills in agent and model, and stores content parts unchanged', async () => {
    const h = await startHarness({
      config: { defaultAgent: 'helper', agents: new Map([['helper', { model: 'small' }]]) },
    });
    await send(h, 's', {
      content: [
        { type: 'text', text: 'hi' },
        { type: 'image_url', image_url: { url: 'x:y' } },
      ],
    });
    const state = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
    expect(state?.state.runs[0]).toMatchObject({ agent: 'helper', model: 'small', priority: 'normal' });
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect((body['messages'] as { content: unknown }[])[0]?.content).toEqual([
      { type: 'text', text: 'hi' },
      { type: 'image_url', image_url: { url: 'x:y' } },
    ]);
  });

  it('refuses a prompt before storing it when the agent is unknown or does not accept it', async () => {
    const agents = new Map([['helper', { model: 'small', models: ['large'], promptCharsMax: 5 }]]);
    const h = await startHarness({ config: { agents } });
    const refusal = async (body: object): Promise<unknown> => {
      const { status, body: answer } = await h.call('POST', '/v1/sessions/s/messages', 'ann', body);
      return [status, answer.error?.code, answer.error?.retryable];
    };
    expect(await refusal({ content: 'hi' })).toEqual([400, 'unknown-agent', false]);
    expect(await refusal({ content: 'hi', agent: 'nobody' })).toEqual([400, 'unknown-agent', false]);
    expect(await refusal({ content: 'hi', agent: 'helper', model: 'huge' })).toEqual([400, 'unknown-model', false]);
    expect(await refusal({ content: 'hello!', agent: 'helper' })).toEqual([413, 'content-too-large', false]);
    const { body } = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'hello!', agent: 'helper' });
    expect(body.error?.message).toContain('it has 6 characters, and the agent takes at most 5');
    expect(await refusal({ content: [{ type: 'text', text: '' }], agent: 'helper' })).toEqual([
      413,
      'content-too-large',
      false,
    ]);
    expect(await h.commandLog.load({ tenant: 'default', sessionId: 's' })).toBeUndefined();
    await send(h, 's', { content: 'hello', agent: 'helper', model: 'large' });
  });

  it('accepts a prompt for any agent when no agents are configured, and leaves the model to the worker', async () => {
    const h = await startHarness();
    await send(h, 's', { content: 'hi', agent: 'anybody' });
    const state = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
    expect(state?.state.runs[0]).toMatchObject({ agent: 'anybody', model: '' });
  });

  it('refuses a second prompt with onBusy reject, and cancels the run with onBusy interrupt', async () => {
    const h = await startHarness();
    const first = await send(h, 's', { content: 'one' });
    const refused = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'two', onBusy: 'reject' });
    expect([refused.status, refused.body.error?.code]).toEqual([409, 'busy']);
    await FakeRun.take(h, 's', first.runId);
    await send(h, 's', { content: 'three', onBusy: 'interrupt' });
    const before = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
    expect(before?.state.runs.map((run) => run.state)).toEqual(['cancelling', 'queued']);
    await h.clock.advance(1000);
    const after = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
    expect(after?.state.runs.map((run) => run.state)).toEqual(['queued']);
  });

  it.each([
    ['high', undefined, 403],
    ['high', 'high', 202],
    ['normal', 'low', 403],
    ['low', 'low', 202],
    [undefined, 'low', 202],
  ])('priority %s under a ceiling of %s: %i', async (priority, ceiling, status) => {
    const h = await startHarness();
    const as = h.bearer('ann', ceiling === undefined ? {} : { priority: ceiling });
    const answer = await h.call('POST', '/v1/sessions/s/messages', as, {
      content: 'x',
      ...(priority === undefined ? {} : { priority }),
    });
    expect(answer.status).toBe(status);
    if (status !== 202) return;
    const state = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
    expect(state?.state.runs[0]?.priority).toBe(priority ?? ceiling);
  });

  it.each([
    [{}],
    [{ content: '' }],
    [{ content: 7 }],
    [{ content: [] }],
    [{ content: [{ text: 'no type' }] }],
    [{ content: ['text'] }],
    [{ content: 'x', messageId: 'a b' }],
    [{ content: 'x', agent: '../x' }],
    [{ content: 'x', model: '' }],
    [{ content: 'x', priority: 'urgent' }],
    [{ content: 'x', onBusy: 'wait' }],
  ])('refuses %j and makes no session', async (body) => {
    const h = await startHarness();
    expect((await h.call('POST', '/v1/sessions/s/messages', 'ann', body)).status).toBe(400);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(404);
  });
});

describe('GET /v1/sessions/{id}/messages', () => {
  it('answers with pages, newest first, each in order, and the position from which to stream', async () => {
    const h = await startHarness();
    for (const content of ['one', 'two', 'three']) {
      const { runId } = await send(h, 's', { content });
      const run = await FakeRun.take(h, 's', runId);
      await run.say(`re: ${content}`);
      await run.complete();
    }
    const newest = await h.call('GET', '/v1/sessions/s/messages?limit=4', 'ann');
    const texts = (body: typeof newest.body): unknown[] =>
      (body['messages'] as { content: unknown }[]).map((one) => one.content);
    expect(texts(newest.body)).toEqual(['two', 're: two', 'three', 're: three']);
    const state = await h.call('GET', '/v1/sessions/s', 'ann');
    expect(newest.body['position']).toBe(state.body['position']);
    const older = await h.call('GET', `/v1/sessions/s/messages?limit=4&before=${String(newest.body['before'])}`, 'ann');
    expect(texts(older.body)).toEqual(['one', 're: one']);
    expect(older.body['before']).toBeUndefined();
  });

  it('accepts `earliest` and `latest`', async () => {
    const h = await startHarness();
    await send(h, 's', { content: 'one' });
    expect(
      ((await h.call('GET', '/v1/sessions/s/messages?before=latest', 'ann')).body['messages'] as unknown[]).length,
    ).toBe(1);
    expect(
      ((await h.call('GET', '/v1/sessions/s/messages?before=earliest', 'ann')).body['messages'] as unknown[]).length,
    ).toBe(0);
  });
});

describe('GET /v1/sessions/{id}/runs', () => {
  it('answers the owner with pages of the runs, newest first', async () => {
    const h = await startHarness();
    for (const content of ['one', 'two', 'three']) {
      const { runId } = await send(h, 's', { content });
      const run = await FakeRun.take(h, 's', runId);
      await run.complete();
    }
    const last = await send(h, 's', { content: 'four' });
    const newest = await h.call('GET', '/v1/sessions/s/runs?limit=3', 'ann');
    const states = (body: typeof newest.body): unknown[] =>
      (body['runs'] as { state: unknown }[]).map((one) => one.state);
    expect(states(newest.body)).toEqual(['queued', 'completed', 'completed']);
    expect((newest.body['runs'] as unknown[])[0]).toMatchObject({
      runId: last.runId,
      messageId: last.messageId,
      queuedAt: expect.any(String) as string,
      attempts: [],
    });
    const older = await h.call('GET', `/v1/sessions/s/runs?limit=3&before=${String(newest.body['before'])}`, 'ann');
    expect([states(older.body), older.body['before']]).toEqual([['completed'], undefined]);
    expect((await h.call('GET', '/v1/sessions/s/runs?before=earliest', 'ann')).body).toEqual({ runs: [] });
    expect((await h.call('GET', '/v1/sessions/s/runs', 'bob')).body.error?.code).toBe('not-found');
    expect((await h.call('GET', '/v1/sessions/s/runs?before=x', 'ann')).body.error?.code).toBe('invalid-position');
  });
});

describe('POST /v1/sessions/{id}/cancel', () => {
  it('ends a queued run at once, and answers 409 without a run', async () => {
    const h = await startHarness();
    const { runId } = await send(h, 's', { content: 'one' });
    const cancelled = await h.call('POST', '/v1/sessions/s/cancel', 'ann');
    expect([cancelled.status, cancelled.body]).toEqual([202, { runId }]);
    const again = await h.call('POST', '/v1/sessions/s/cancel', 'ann', { runId });
    expect([again.status, again.body.error?.code]).toEqual([409, 'no-active-run']);
  });

  it('ends a started run after the grace period when its worker does not, and keeps its text', async () => {
    const h = await startHarness();
    const { runId } = await send(h, 's', { content: 'one' });
    const run = await FakeRun.take(h, 's', runId);
    await run.say('half of ');
    await h.call('POST', '/v1/sessions/s/cancel', 'ann', { runId });
    await h.clock.advance(999);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['activeRun']).toMatchObject({
      runId,
      state: 'cancelling',
    });
    await h.clock.advance(1);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['activeRun']).toBeUndefined();
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect((body['messages'] as unknown[])[1]).toMatchObject({ content: 'half of ', status: 'cancelled' });
    await expect(run.say('more')).rejects.toMatchObject({ code: 'fenced' });
  });

  it('does nothing when the worker ended the run in time', async () => {
    const h = await startHarness();
    const { runId } = await send(h, 's', { content: 'one' });
    const run = await FakeRun.take(h, 's', runId);
    await h.call('POST', '/v1/sessions/s/cancel', 'ann', { runId });
    await run.cancelled('ann');
    const { body: before } = await h.call('GET', '/v1/sessions/s', 'ann');
    await h.clock.advance(5000);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['position']).toBe(before['position']);
  });
});

describe('cursors', () => {
  it('store a position, move forward only, and are a start for streams', async () => {
    const h = await startHarness();
    const { position } = await send(h, 's', { content: 'one' });
    const url = '/v1/sessions/s/cursors/phone';
    expect((await h.call('GET', url, 'ann')).body.error?.code).toBe('cursor-not-found');
    expect((await h.call('PUT', url, 'ann', { position })).status).toBe(204);
    expect((await h.call('GET', url, 'ann')).body).toEqual({ position });
    const [epoch = ''] = position.split('.');
    for (const bad of [`${epoch}.99`, `other.0`, 'earliest']) {
      const answer = await h.call('PUT', url, 'ann', { position: bad });
      expect([bad, answer.status, answer.body.error?.code]).toEqual([bad, 409, 'cursor-conflict']);
    }
    expect((await h.call('PUT', url, 'ann', { position: 'latest' })).status).toBe(204);
    expect((await h.call('PUT', url, 'ann', { position })).status).toBe(409);
  });

  it('accept `earliest` while they are at the earliest position', async () => {
    const h = await startHarness();
    await send(h, 's', { content: 'one' });
    expect((await h.call('PUT', '/v1/sessions/s/cursors/c', 'ann', { position: 'earliest' })).status).toBe(204);
  });

  it.each(['%2e%2e', '.', 'a%2Fb', 'a b', 'x'.repeat(101), '%00'])('have no name like %s', async (cursorId) => {
    const h = await startHarness();
    await send(h, 's', { content: 'one' });
    const answer = await h.call('GET', `/v1/sessions/s/cursors/${cursorId}`, 'ann');
    expect([400, 404]).toContain(answer.status);
    expect(answer.body.error?.code).not.toBe('internal');
  });
});

describe('positions in requests', () => {
  const bad = [
    'x',
    '1',
    '1.',
    '.1',
    'e1.-1',
    'e1.01',
    'e1.1.1',
    'e1.1e3',
    'e1.9007199254740993',
    'e1.NaN',
    'e 1.1',
    ' e1.1',
    'EARLIEST',
    '{}',
    'é.1',
  ];
  it.each(bad)('%j is none', async (position) => {
    const h = await startHarness();
    await send(h, 's', { content: 'one' });
    const before = await h.call('GET', `/v1/sessions/s/messages?before=${encodeURIComponent(position)}`, 'ann');
    const put = await h.call('PUT', '/v1/sessions/s/cursors/c', 'ann', { position });
    const events = await h.call('GET', `/v1/sessions/s/events?after=${encodeURIComponent(position)}`, 'ann');
    expect([before.status, put.status, events.status]).toEqual([400, 400, 400]);
    expect([before, put, events].map((one) => one.body.error?.code)).toEqual([
      'invalid-position',
      'invalid-position',
      'invalid-position',
    ]);
  });
});

describe('what is not there', () => {
  it.each([
    ['GET', '/v2/sessions'],
    ['POST', '/healthz'],
    ['GET', '/v1/sessions/a/b'],
    ['GET', '//v1/sessions'],
    ['GET', '/V1/sessions'],
    ['GET', '/v1/sessions/'],
    ['PUT', '/v1/sessions'],
  ] as const)('%s %s is 404 in the shape of every error', async (method, url) => {
    const h = await startHarness();
    const answer = await h.call(method, url, 'ann');
    expect(answer.status).toBe(404);
    expect(answer.body.error).toEqual(
      url === '/v1/sessions/'
        ? { code: 'not-found', message: 'no such session', retryable: false }
        : { code: 'no-such-route', message: 'there is nothing at this address', retryable: false },
    );
  });

  it('gives no detail of an unexpected error, and logs it once', async () => {
    const h = await startHarness();
    h.broker.describe = () => Promise.reject(new Error('secret inner detail'));
    const answer = await h.call('GET', '/v1/sessions/s', 'ann');
    expect([answer.status, answer.body]).toEqual([
      500,
      { error: { code: 'internal', message: 'something went wrong here', retryable: true } },
    ]);
    expect(h.logged.filter((line) => line.includes('secret inner detail'))).toHaveLength(1);
  });
});

describe('/openapi.json', () => {
  it('documents every path of the protocol', async () => {
    const h = await startHarness();
    const { body } = await h.call('GET', '/openapi.json');
    expect(Object.keys(body['paths'] as object).sort()).toEqual([
      '/healthz',
      '/metrics',
      '/readyz',
      '/v1/admin/pause',
      '/v1/admin/pauses',
      '/v1/admin/resume',
      '/v1/agents',
      '/v1/sessions',
      '/v1/sessions/{sessionId}',
      '/v1/sessions/{sessionId}/attachments',
      '/v1/sessions/{sessionId}/attachments/{attachmentId}',
      '/v1/sessions/{sessionId}/branch',
      '/v1/sessions/{sessionId}/branches',
      '/v1/sessions/{sessionId}/cancel',
      '/v1/sessions/{sessionId}/cursors/{cursorId}',
      '/v1/sessions/{sessionId}/events',
      '/v1/sessions/{sessionId}/inputs',
      '/v1/sessions/{sessionId}/inputs/{inputId}',
      '/v1/sessions/{sessionId}/messages',
      '/v1/sessions/{sessionId}/messages/{messageId}',
      '/v1/sessions/{sessionId}/messages/{messageId}/regenerate',
      '/v1/sessions/{sessionId}/runs',
      '/v1/sessions/{sessionId}/text',
      '/v1/tickets',
      '/v1/ws',
    ]);
  });
});
