// The MCP server, called by the real client of each era: the tools, waits that end, Stop, refusals as results of
// a tool, and what is refused with an HTTP status.
import { describe, expect, it } from 'vitest';
import { PAGES_PER_USER_MAX, PAGES_WAITING_PER_USER_MAX } from '../../../src/gateway/http/page-reads.ts';
import { startHarness, type Harness } from '../../support/gateway-harness.ts';
import { eventually } from '../../support/wait-for.ts';
import { start } from './mcp-rig.ts';

describe.each(['modern', 'handshake'] as const)('an MCP client of the era `%s`', (era) => {
  it('connects, lists the tools, and runs a prompt to its end', async () => {
    const mcp = await start(era);
    expect(mcp.client.getServerVersion()?.name).toBe('holdline');
    const { tools } = await mcp.client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(['start_run', 'get_run', 'stop_run', 'answer_run']);

    const started = await mcp.tool('start_run', { prompt: 'hello', session: 'chat' });
    expect(started).toMatchObject({ isError: false, result: { session: 'chat', state: 'queued', text: '' } });
    const { run } = started.result;
    const worker = await mcp.take(run);
    await worker.say('Good ', 'morning');
    expect((await mcp.tool('get_run', { run })).result).toMatchObject({ state: 'running', text: 'Good morning' });

    const waiting = mcp.tool('get_run', { run, wait_ms: 20_000 });
    await eventually(() => mcp.gateway.metrics.text().then((text) => text.includes('wire="mcp"} 1')));
    await worker.say('.');
    await worker.complete();
    expect((await waiting).result).toMatchObject({
      state: 'completed',
      text: 'Good morning.',
      usage: { inputTokens: 1, outputTokens: 1 },
    });
    // The wait of a run that has ended, and the run read later on another connection.
    const later = await mcp.connect('ann');
    expect((await mcp.tool('get_run', { run, wait_ms: 20_000 }, later)).result.text).toBe('Good morning.');
    if (era === 'handshake') await mcp.client.ping();
  });
});

describe('start_run', () => {
  it('makes one run for one key, in a chat of its own, and another for another user', async () => {
    const mcp = await start();
    const first = await mcp.tool('start_run', { prompt: 'once', key: 'k 1' });
    const again = await mcp.tool('start_run', { prompt: 'once', key: 'k 1' });
    expect(again.result.run).toBe(first.result.run);
    const bob = await mcp.connect('bob');
    const other = await mcp.tool('start_run', { prompt: 'once', key: 'k 1' }, bob);
    expect([other.isError, other.result.run === first.result.run]).toEqual([false, false]);
    const changed = await mcp.tool('start_run', { prompt: 'other', key: 'k 1' });
    expect(changed.result.error?.code).toBe('message-conflict');
  });

  it('continues a chat: two runs, each with its own text', async () => {
    const mcp = await start();
    const one = await mcp.tool('start_run', { prompt: 'one' });
    const first = await mcp.take(one.result.run);
    await first.say('first');
    await first.complete();
    const two = await mcp.tool('start_run', { prompt: 'two', session: one.result.session });
    const three = await mcp.tool('start_run', { prompt: 'three', session: one.result.session });
    const second = await mcp.take(two.result.run);
    await second.say('second');
    expect((await mcp.tool('get_run', { run: one.result.run })).result.text).toBe('first');
    expect((await mcp.tool('get_run', { run: two.result.run })).result.text).toBe('second');
    expect((await mcp.tool('get_run', { run: three.result.run })).result).toMatchObject({ state: 'queued', text: '' });
  });

  it('starts nothing when it is refused because its user reads too much', async () => {
    const mcp = await start();
    await mcp.call('POST', '/v1/sessions/slow/messages', 'ann', { content: 'hi' });
    const read = mcp.broker.read.bind(mcp.broker);
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    mcp.broker.read = async (topic, ...asked) => {
      if (topic.endsWith('/slow')) await held;
      return read(topic, ...asked);
    };
    const pages = Array.from({ length: PAGES_PER_USER_MAX + PAGES_WAITING_PER_USER_MAX }, () =>
      mcp.call('GET', '/v1/sessions/slow/messages', 'ann'),
    );
    expect((await mcp.tool('start_run', { prompt: 'x' })).result.error?.code).toBe('too-many');
    letGo();
    await Promise.all(pages);
    expect((await mcp.call('GET', '/v1/sessions', 'ann')).body['sessions']).toHaveLength(1);
  });

  it('refuses an unknown agent, a wrong argument, and a token for given chats without a chat, and makes no chat', async () => {
    const agents = new Map([['default', { models: [], accepts: [] }]]);
    const mcp = await start('modern', { config: { agents: agents as never } });
    expect((await mcp.tool('start_run', { prompt: 'x', agent: 'nobody' })).result.error?.code).toBe('unknown-agent');
    expect((await mcp.tool('start_run', { prompt: 'x', wait: true })).result.error?.message).toMatch(/^wait: /);
    expect((await mcp.tool('start_run', {})).result.error).toMatchObject({ code: 'invalid-arguments' });
    expect((await mcp.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
    const bound = await mcp.connect('ann', 'modern', { sessions: ['mine'] });
    expect((await mcp.tool('start_run', { prompt: 'x' }, bound)).result.error?.code).toBe('forbidden');
    expect((await mcp.tool('start_run', { prompt: 'x', session: 'mine' }, bound)).isError).toBe(false);
  });
});

describe('get_run and stop_run', () => {
  it('stop a run, also one that has ended, and keep its text', async () => {
    const mcp = await start();
    const { result } = await mcp.tool('start_run', { prompt: 'x' });
    const worker = await mcp.take(result.run);
    await worker.say('half');
    const stopping = mcp.tool('stop_run', { run: result.run });
    await eventually(() => mcp.gateway.metrics.text().then((text) => text.includes('wire="mcp"} 1')));
    await worker.cancelled('ann');
    expect(await stopping).toMatchObject({ isError: false, result: { state: 'cancelled', text: 'half' } });
    expect((await mcp.tool('stop_run', { run: result.run })).result).toMatchObject({
      state: 'cancelled',
      text: 'half',
    });
  });

  it('show a failure with its code', async () => {
    const mcp = await start();
    const { result } = await mcp.tool('start_run', { prompt: 'x' });
    const worker = await mcp.take(result.run);
    await worker.say('half');
    await worker.fail({ code: 'model-error', message: 'the model broke', retryable: true });
    expect(await mcp.tool('get_run', { run: result.run })).toMatchObject({
      isError: false,
      result: { state: 'failed', text: 'half', error: { code: 'model-error' } },
    });
  });

  it('end a wait when its time is over, and when the node drains', async () => {
    const mcp = await start();
    const { result } = await mcp.tool('start_run', { prompt: 'x' });
    const isWaiting = (): Promise<boolean> => mcp.gateway.metrics.text().then((text) => text.includes('wire="mcp"} 1'));
    const first = mcp.tool('get_run', { run: result.run, wait_ms: 1_000 });
    await eventually(isWaiting);
    await mcp.clock.advance(1_000);
    expect((await first).result.state).toBe('queued');
    const second = mcp.tool('get_run', { run: result.run, wait_ms: 30_000 });
    await eventually(isWaiting);
    const drained = mcp.gateway.drain({ windowMs: 10, deadlineMs: 10_000 });
    await mcp.clock.advance(10);
    expect((await second).result.state).toBe('queued');
    await drained;
  });

  it('end a wait, and count it no more, when its client is gone', async () => {
    const mcp = await start();
    const { result } = await mcp.tool('start_run', { prompt: 'x' });
    const gone = new AbortController();
    const waiting = mcp.client.callTool(
      { name: 'get_run', arguments: { run: result.run, wait_ms: 30_000 } },
      { signal: gone.signal },
    );
    const live = (): Promise<string> => mcp.gateway.metrics.text();
    await eventually(async () => (await live()).includes('wire="mcp"} 1'));
    gone.abort();
    await expect(waiting).rejects.toThrow();
    await eventually(async () => (await live()).includes('wire="mcp"} 0'));
  });

  it.each(['nonsense', 'a.b.c', 'none.none', 'none'])('do not know the run %s', async (run) => {
    const mcp = await start();
    for (const name of ['get_run', 'stop_run'])
      expect((await mcp.tool(name, { run })).result.error?.code).toMatch(/^(run-)?not-found$/);
  });

  it('do not know the run of another user, nor a run that is not of its chat', async () => {
    const mcp = await start();
    const { result } = await mcp.tool('start_run', { prompt: 'x', session: 'secret' });
    const bob = await mcp.connect('bob');
    for (const name of ['get_run', 'stop_run']) {
      expect((await mcp.tool(name, { run: result.run }, bob)).result.error?.code).toBe('not-found');
      expect((await mcp.tool(name, { run: 'secret.other' })).result.error?.code).toBe('run-not-found');
    }
    expect((await mcp.tool('get_run', { run: result.run })).result.state).toBe('queued');
  });
});

describe('POST /mcp', () => {
  const post = async (
    h: Harness,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
    method: 'POST' | 'GET' | 'DELETE' = 'POST',
  ): Promise<{ status: number; body: unknown }> => {
    const answer = await h.gateway.app.inject({
      method,
      url: '/mcp',
      headers: { authorization: h.bearer('ann'), 'content-type': 'application/json', ...headers },
      ...(method === 'POST' ? { payload: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
    });
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() };
  };
  const errorOf = (code: number): unknown => ({ error: { code } });

  it('refuses a wrong token with 401, which the client reports as such', async () => {
    const mcp = await start();
    await expect(mcp.connect('ann', 'modern', { exp: 1 })).rejects.toMatchObject({ data: { status: 401 } });
    await expect(mcp.connect('ann', 'handshake', { exp: 1 })).rejects.toMatchObject({ data: { status: 401 } });
  });

  it('has no stream and no session: GET and DELETE are 405', async () => {
    const h = await startHarness();
    expect((await post(h, '', {}, 'GET')).status).toBe(405);
    expect((await post(h, '', {}, 'DELETE')).status).toBe(405);
  });

  it('refuses what is no message, in the shape of JSON-RPC', async () => {
    const h = await startHarness({ config: { wireBodyBytesMax: 10_000 } });
    expect(await post(h, '{')).toMatchObject({ status: 400, body: errorOf(-32_700) });
    expect(await post(h, [])).toMatchObject({ status: 400, body: errorOf(-32_600) });
    expect(await post(h, { id: 1, method: 'ping' })).toMatchObject({ status: 400, body: { id: 1 } });
    expect(await post(h, { jsonrpc: '2.0', id: {}, method: 'ping' })).toMatchObject({
      status: 400,
      body: { id: null },
    });
    expect(await post(h, { jsonrpc: '2.0', id: 1, method: 'ping', params: [] })).toMatchObject({ status: 400 });
    expect(await post(h, { jsonrpc: '2.0', id: 1, x: 'y'.repeat(10_000) })).toMatchObject({ status: 413 });
    expect(await post(h, { jsonrpc: '2.0', method: 'notifications/initialized' })).toEqual({ status: 202 });
    expect(await post(h, { jsonrpc: '2.0', id: 7, method: 'resources/list' })).toMatchObject({
      status: 200,
      body: { id: 7, ...(errorOf(-32_601) as object) },
    });
    expect(await post(h, { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'rm' } })).toMatchObject({
      status: 200,
      body: errorOf(-32_602),
    });
  });

  it('refuses a version that it does not speak, and headers that differ from the body', async () => {
    const h = await startHarness();
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
    const modern = (version: string, method = 'tools/list'): unknown => ({
      jsonrpc: '2.0',
      id: 1,
      method,
      params: { _meta: { 'io.modelcontextprotocol/protocolVersion': version } },
    });
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
    expect(await post(h, ping, { 'mcp-protocol-version': '1999-01-01' })).toMatchObject({ status: 400 });
    expect(await post(h, ping, { 'mcp-protocol-version': '2025-06-18' })).toMatchObject({ status: 200 });
    expect(await post(h, ping, { 'mcp-protocol-version': '2026-07-28' })).toMatchObject({ body: errorOf(-32_602) });
    expect(await post(h, modern('2031-01-01'), headers)).toMatchObject({
      status: 400,
      body: { error: { code: -32_022, data: { requested: '2031-01-01' } } },
    });
    expect(await post(h, modern('2026-07-28'), headers)).toMatchObject({ status: 200 });
    expect(await post(h, modern('2026-07-28'), { ...headers, 'mcp-method': 'ping' })).toMatchObject({
      status: 400,
      body: errorOf(-32_020),
    });
    expect(
      await post(h, modern('2026-07-28', 'prompts/list'), { ...headers, 'mcp-method': 'prompts/list' }),
    ).toMatchObject({ status: 404, body: errorOf(-32_601) });
  });
});
