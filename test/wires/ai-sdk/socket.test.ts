// The WebSocket of the AI SDK wire as bytes: who may open it, which frames it takes, its limits, and how it closes.
import { describe, expect, it } from 'vitest';
import { LIVE_REQUESTS_MAX } from '../../../src/gateway/mounts/ai-sdk/chat-socket.ts';
import { STOP_AFTER_MS } from '../../../src/gateway/mounts/ai-sdk/pending-stops.ts';
import { UNKNOWN_PER_ADDRESS_MAX } from '../../../src/gateway/limits/unknown-callers.ts';
import { startHarness, type Harness, type HarnessOptions } from '../../support/gateway-harness.ts';
import { UpgradeRefused, WsClient, type SeenFrame } from '../../support/gateway-ws-client.ts';
import { eventually } from '../../support/wait-for.ts';
import { takeRun } from './page.ts';

async function start(options: HarnessOptions = {}) {
  const h = await startHarness(options);
  const { port } = await h.listen();
  const open = (query = '', headers = {}) => WsClient.open(`ws://127.0.0.1:${port}/api/chat/ws${query}`, { headers });
  return { h, open };
}

const prompt = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'go' }] };

function sendFrame(h: Harness, requestId: string, id: string, more: object = {}) {
  const headers = { authorization: h.bearer('ann') };
  const base = { type: 'send', requestId, id, trigger: 'submit-message', messages: [prompt], headers, body: {} };
  return { ...base, ...more };
}

function resumeFrame(h: Harness, requestId: string, id: string, more: object = {}) {
  return { type: 'resume', requestId, id, headers: { authorization: h.bearer('ann') }, body: {}, ...more };
}

function chunksOf(client: WsClient, requestId: string): { type: string; [field: string]: unknown }[] {
  const own = client.frames.seen.filter((frame) => frame['requestId'] === requestId && frame.type === 'chunk');
  expect(own.map(({ sequence }) => sequence)).toEqual(own.map((_, i) => i));
  return own.map(({ chunk }) => chunk as { type: string });
}

const isEnd =
  (requestId: string) =>
  (frame: SeenFrame): boolean =>
    frame['requestId'] === requestId && frame.type === 'end';

describe('the WebSocket of the AI SDK', () => {
  it('numbers the chunks of a request without a gap, and ends it', async () => {
    const { h, open } = await start();
    const client = await open();
    client.send(sendFrame(h, 'r1', 'c1'));
    const run = await takeRun(h, 'c1');
    await run.say('Hello ', 'you.');
    await run.complete();
    await client.frames.first(isEnd('r1'));
    const types = chunksOf(client, 'r1').map(({ type }) => type);
    expect(types.filter((type) => type !== 'text-delta')).toEqual([
      ...['start', 'start-step', 'text-start', 'text-end', 'finish-step', 'finish'],
    ]);
    client.send(resumeFrame(h, 'r2', 'c1'));
    await client.frames.first(isEnd('r2'));
    expect(client.frames.seen.find((frame) => frame['requestId'] === 'r2')?.type).toBe('start');
    expect(chunksOf(client, 'r2').find(({ type }) => type === 'text-delta')).toMatchObject({ delta: 'Hello you.' });
  });

  it('resets the step and says anew what remains of it', async () => {
    const { h, open } = await start();
    const client = await open();
    client.send(sendFrame(h, 'r1', 'c1'));
    const run = await takeRun(h, 'c1');
    await run.sayIn(0, 'reasoning', 'I think.');
    await run.sayIn(1, 'text', 'Hello you.');
    await run.dropFrom(6, { part: 1, takesOver: true });
    await run.sayIn(1, 'text', 'there.');
    await run.complete();
    await client.frames.first(isEnd('r1'));
    const chunks = chunksOf(client, 'r1');
    expect(chunks.slice(chunks.findIndex(({ type }) => type === 'reset-step'))).toEqual([
      { type: 'reset-step' },
      { type: 'reasoning-start', id: 'r0' },
      { type: 'reasoning-delta', id: 'r0', delta: 'I think.' },
      { type: 'reasoning-end', id: 'r0' },
      { type: 'text-start', id: 't1' },
      { type: 'text-delta', id: 't1', delta: 'Hello ' },
      { type: 'text-delta', id: 't1', delta: 'there.' },
      { type: 'text-end', id: 't1' },
      { type: 'finish-step' },
      { type: 'finish', finishReason: 'stop' },
    ]);
  });

  it('breaks the request where an earlier step is taken back, and the next one has the answer', async () => {
    const { h, open } = await start();
    const client = await open();
    client.send(sendFrame(h, 'r1', 'c1'));
    const run = await takeRun(h, 'c1');
    const { runId } = run.run;
    await run.add({ type: 'part.started', runId, part: 0, kind: 'tool-call', toolCallId: 'x', toolName: 'look' });
    await run.add({ type: 'tool.result', runId, toolCallId: 'x', result: 1 });
    await run.sayIn(1, 'text', 'Found.');
    await client.frames.first(({ chunk }) => (chunk as { delta?: string } | undefined)?.delta === 'Found.');
    await run.dropFrom(0, { part: 0, takesOver: true });
    await run.say('Hello.');
    const broken = await client.frames.first((frame) => frame.type === 'error');
    expect(broken).toMatchObject({ requestId: 'r1', code: 'internal' });
    client.send(resumeFrame(h, 'r2', 'c1'));
    await run.complete();
    await client.frames.first(isEnd('r2'));
    expect(chunksOf(client, 'r2').filter(({ type }) => type === 'text-delta')).toMatchObject([{ delta: 'Hello.' }]);
  });

  it('answers no-active where there is nothing to resume, in chats of others as well', async () => {
    const { h, open } = await start();
    await h.call('POST', '/v1/sessions/his/messages', 'bob', { content: 'mine' });
    const client = await open();
    for (const id of ['never', 'his'])
      expect(await client.ask(resumeFrame(h, `r-${id}`, id))).toEqual({ type: 'no-active', requestId: `r-${id}` });
  });

  it.each([
    ['a frame of another type', { type: 'other', requestId: 'r' }, 'type: must be one of send, resume, abort'],
    ['a session id that is none', { id: 'a/b' }, '/id: must match pattern'],
    ['another trigger', { trigger: 'other' }, '/trigger: '],
    ['headers that are no text', { headers: { authorization: 1 } }, '/headers/authorization: must be string'],
    ['a priority that is none', { body: { priority: 'now' } }, 'body/priority: '],
    ['an assistant message', { messages: [{ ...prompt, role: 'system' }] }, 'messages[0].role: '],
    ['a number to resume from', { type: 'resume', lastSequence: 3 }, 'lastSequence: an answer is replayed'],
    ['a have that is no text', { type: 'resume', body: { have: 1 } }, 'body/have: must be string'],
  ])('refuses %s by name, and serves on', async (_what, fields, text) => {
    const { h, open } = await start();
    const client = await open();
    const refused = await client.ask({ ...sendFrame(h, 'r', 'c'), ...fields });
    expect(refused).toMatchObject({ type: 'error', requestId: 'r', code: 'invalid-request' });
    expect(refused['errorText']).toContain(text);
    expect((await h.call('GET', '/v1/sessions/c', 'ann')).status).toBe(404);
    expect(await client.ask(resumeFrame(h, 'r2', 'c'))).toMatchObject({ type: 'no-active' });
  });

  it('decides by the token of each frame', async () => {
    const { h, open } = await start();
    const client = await open();
    const ask = (requestId: string, headers: object) => client.ask(resumeFrame(h, requestId, 'c', { headers }));
    expect(await ask('r1', {})).toMatchObject({ type: 'error', code: 'unauthenticated' });
    expect(await ask('r2', { Authorization: h.bearer('ann') })).toMatchObject({ type: 'no-active' });
    expect(await ask('r3', {})).toMatchObject({ type: 'error', code: 'unauthenticated' });
    expect(await ask('r4', { authorization: h.bearer('ann', { exp: 1 }) })).toMatchObject({ code: 'token-expired' });
    expect(await ask('r5', { authorization: h.bearer('ann', { scope: 'worker' }) })).toMatchObject({
      code: 'forbidden',
    });
    expect(await ask('r6', { authorization: h.bearer('bob') })).toMatchObject({
      code: 'forbidden',
      errorText: 'a socket belongs to one user',
    });
  });

  it('takes a ticket for frames without a token', async () => {
    const { h, open } = await start();
    const buy = async (scope: string): Promise<string> => {
      const { body } = await h.call('POST', '/v1/tickets', 'ann', { purpose: 'socket', scope });
      return String(body['ticket']);
    };
    const writer = await open(`?ticket=${await buy('chat')}`);
    writer.send(sendFrame(h, 'r1', 'c1', { headers: {} }));
    await takeRun(h, 'c1');
    const reader = await open(`?ticket=${await buy('read')}`);
    expect(await reader.ask(sendFrame(h, 'r2', 'c2', { headers: {} }))).toMatchObject({ code: 'forbidden' });
    expect(await reader.ask(resumeFrame(h, 'r3', 'c1', { headers: {} }))).toEqual({ type: 'start', requestId: 'r3' });
  });

  it('refuses the upgrade with a wrong credential, a token in the URL, and another setting', async () => {
    const { h, open } = await start();
    const statusOf = async (query: string, headers = {}): Promise<number> => {
      const error: unknown = await open(query, headers).catch((refused: unknown) => refused);
      return error instanceof UpgradeRefused ? error.status : 0;
    };
    expect(await statusOf('?ticket=0123456789abcdef')).toBe(401);
    expect(await statusOf('', { authorization: 'Bearer nonsense' })).toBe(401);
    expect(await statusOf(`?token=${h.token('ann')}`)).toBe(401);
    expect(await statusOf('?abort=maybe')).toBe(400);
    expect(await statusOf('', { origin: 'https://evil.test' })).toBe(403);
    expect((await h.call('GET', '/api/chat/ws')).status).toBe(426);
  });

  it('closes with 4408 a socket without a good token in time, and with 4401 when its token expires', async () => {
    const { h, open } = await start();
    const silent = await open();
    const known = await open();
    known.send(sendFrame(h, 'r1', 'c1', { headers: { authorization: h.bearer('ann') } }));
    await takeRun(h, 'c1');
    expect(await silent.ask(resumeFrame(h, 'r', 'c', { headers: {} }))).toMatchObject({ code: 'unauthenticated' });
    await h.clock.advance(11_000);
    expect((await silent.closed).code).toBe(4408);
    expect(await known.ask(resumeFrame(h, 'r2', 'c1'))).toMatchObject({ type: 'start' });
    await h.clock.advance(3_700_000);
    expect((await known.closed).code).toBe(4401);
  });

  it('closes with 4503 at a drain, and with 1003 for a text that is no frame', async () => {
    const { h, open } = await start();
    for (const text of [
      'no json',
      '[]',
      '{"type":"abort"}',
      JSON.stringify({ type: 'send', requestId: 'r'.repeat(129) }),
    ]) {
      const client = await open();
      client.send(text);
      expect([text, await client.closed]).toEqual([text, { code: 1003, reason: 'bad-frame' }]);
    }
    const client = await open();
    client.send(sendFrame(h, 'r1', 'c1'));
    await takeRun(h, 'c1');
    const drained = h.gateway.drain({ windowMs: 0, deadlineMs: 60_000 });
    await h.clock.advance(1_000);
    expect((await client.closed).code).toBe(4503);
    await drained;
  });

  it('takes messages of 4 MiB, and no larger ones', async () => {
    const { h, open } = await start();
    const client = await open();
    const old = { id: 'old', role: 'user', parts: [{ type: 'text', text: 'x'.repeat(4_000_000) }] };
    client.send(sendFrame(h, 'r1', 'c1', { messages: [old, prompt] }));
    const run = await takeRun(h, 'c1');
    await run.say('a');
    await run.complete();
    await client.frames.first(isEnd('r1'));
    client.send(sendFrame(h, 'r2', 'c1', { messages: [old, old, prompt] }));
    expect((await client.closed).code).toBe(1009);
  });

  it('streams at most 256 requests at once', async () => {
    const { h, open } = await start({ config: { framesBurst: 10_000 } });
    await h.call('POST', '/v1/sessions/c1/messages', 'ann', { content: 'go' });
    const client = await open();
    for (let i = 0; i < LIVE_REQUESTS_MAX; i += 1) client.send(resumeFrame(h, `r${i}`, 'c1'));
    expect(await client.ask(resumeFrame(h, 'more', 'c1'))).toMatchObject({ type: 'error', code: 'too-many' });
    client.send({ type: 'abort', requestId: 'r0' });
    expect(await client.ask(resumeFrame(h, 'again', 'c1'))).toMatchObject({ type: 'start' });
    expect(await client.ask(resumeFrame(h, 'r1', 'c1'))).toMatchObject({ type: 'start' });
    const twice = await client.frames.first((frame) => frame['requestId'] === 'r1' && frame.type === 'error');
    expect(twice['errorText']).toBe('requestId: another request has this id');
  });

  it('refuses more sockets of one address that have sent no token', async () => {
    const { h, open } = await start();
    const silent = await Promise.all(Array.from({ length: UNKNOWN_PER_ADDRESS_MAX }, () => open()));
    await expect(open()).rejects.toMatchObject({ status: 429 });
    await silent[0]?.ask(resumeFrame(h, 'r', 'c'));
    const next = await open();
    next.socket.terminate();
    silent[1]?.socket.terminate();
    await eventually(async () => (await open().catch(() => undefined)) !== undefined);
  });

  it('keeps the prompt out of the chat when the user follows too many chats', async () => {
    const { h, open } = await start({ config: { subscriptionsPerUserMax: 0 } });
    const client = await open();
    expect(await client.ask(sendFrame(h, 'r1', 'c1'))).toMatchObject({ type: 'error', code: 'too-many' });
    expect((await h.call('GET', '/v1/sessions/c1', 'ann')).status).toBe(404);
  });

  it('ends a request of a chat that is removed with an error', async () => {
    const { h, open } = await start();
    const client = await open();
    client.send(sendFrame(h, 'r1', 'c1'));
    await takeRun(h, 'c1');
    await eventually(() => chunksOf(client, 'r1').length > 0);
    expect((await h.call('DELETE', '/v1/sessions/c1', 'ann')).status).toBe(204);
    expect(await client.frames.first((frame) => frame.type === 'error')).toMatchObject({ requestId: 'r1' });
  });

  it('stops a run by an abort only where its URL says so and no other request for the chat comes', async () => {
    const { h, open } = await start();
    const stateOf = async (): Promise<string | undefined> =>
      (await h.commandLog.load({ tenant: 'default', sessionId: 'c1' }))?.state.runs[0]?.state;
    const client = await open('?abort=stop');
    client.send(sendFrame(h, 'r1', 'c1'));
    await takeRun(h, 'c1');
    client.send({ type: 'abort', requestId: 'r1' });
    expect(await client.ask(resumeFrame(h, 'r2', 'c1'))).toMatchObject({ type: 'start' });
    await h.clock.advance(2 * STOP_AFTER_MS);
    expect(await stateOf()).toBe('running');
    // The abort of a resume only leaves.
    client.send({ type: 'abort', requestId: 'r2' });
    client.send(sendFrame(h, 'r3', 'c1'));
    await eventually(() => chunksOf(client, 'r3').length > 0);
    client.send({ type: 'abort', requestId: 'r3' });
    expect(await client.ask(resumeFrame(h, 'r4', 'c2'))).toMatchObject({ type: 'no-active' });
    expect(await stateOf()).toBe('running');
    await h.clock.advance(STOP_AFTER_MS);
    await eventually(async () => (await stateOf()) === 'cancelling');
  });

  it('counts its sockets by their own name', async () => {
    const { h, open } = await start();
    const client = await open();
    expect((await h.call('GET', '/metrics')).text).toContain('holdline_streams{wire="ai-sdk-ws"} 1');
    client.socket.terminate();
    await eventually(async () =>
      (await h.call('GET', '/metrics')).text.includes('holdline_streams{wire="ai-sdk-ws"} 0'),
    );
  });
});
