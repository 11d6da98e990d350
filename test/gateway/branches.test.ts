// Branches over both wires: another answer, a prompt that replaces another, a queued prompt edited or withdrawn, and
// the choice of the shown branch. The tests of test/session prove the effect on a chat; these prove requests and
// replies.
import { describe, expect, it } from 'vitest';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

interface Sent {
  readonly messageId: string;
  readonly runId: string;
  readonly answerId: string;
  readonly position: string;
}

async function post(h: Harness, path: string, body: object): Promise<Sent> {
  const answer = await h.call('POST', `/v1/sessions/s/${path}`, 'ann', body);
  expect(answer.status, answer.text).toBe(202);
  return answer.body as never;
}

async function answered(h: Harness, content: string, answer: string, more: object = {}): Promise<Sent> {
  const sent = await post(h, 'messages', { content, ...more });
  await finish(h, sent.runId, answer);
  return sent;
}

async function finish(h: Harness, runId: string, answer: string): Promise<void> {
  const run = await FakeRun.take(h, 's', runId);
  await run.say(answer);
  await run.complete();
}

async function shown(h: Harness, query = ''): Promise<unknown[]> {
  const { body } = await h.call('GET', `/v1/sessions/s/messages${query}`, 'ann');
  return (body['messages'] as { content: unknown }[]).map(({ content }) => content);
}

describe('another answer', () => {
  it('is made once for its id and shown, and the earlier answer can be shown again', async () => {
    const h = await startHarness();
    const first = await answered(h, 'a question', 'one answer', { messageId: 'q' });
    const second = await post(h, 'messages/q/regenerate', { answerId: 'again' });
    expect(second).toMatchObject({ messageId: 'q', answerId: 'again', queued: 0 });
    expect(await post(h, 'messages/q/regenerate', { answerId: 'again' })).toEqual(second);
    await finish(h, second.runId, 'another answer');
    expect(await shown(h)).toEqual(['a question', 'another answer']);
    expect(await shown(h, `?branch=${first.runId}`)).toEqual(['a question', 'one answer']);
    expect((await h.call('GET', '/v1/sessions/s/branches', 'ann')).body['branches']).toMatchObject([
      { runId: first.runId, isShown: false },
      { runId: second.runId, isShown: true, position: second.position },
    ]);
    expect((await h.call('PUT', '/v1/sessions/s/branch', 'ann', { runId: first.runId })).status).toBe(204);
    expect(await shown(h)).toEqual(['a question', 'one answer']);
    await answered(h, 'more', 'of it');
    expect(await shown(h)).toEqual(['a question', 'one answer', 'more', 'of it']);
  });

  it.each([
    ['of what is still to be answered', 'messages/q/regenerate', {}, 409, 'busy'],
    ['of a message that is not there', 'messages/nothing/regenerate', {}, 404, 'message-not-found'],
    ['with an id that is none', 'messages/q/regenerate', { answerId: '' }, 400, 'invalid-request'],
    ['above the token’s priority', 'messages/q/regenerate', { priority: 'high' }, 403, 'forbidden'],
  ])('%s is refused', async (_name, path, body, status, code) => {
    const h = await startHarness();
    await post(h, 'messages', { messageId: 'q', content: 'x' });
    expect(await h.call('POST', `/v1/sessions/s/${path}`, 'ann', body)).toMatchObject({
      status,
      body: { error: { code } },
    });
  });

  it('can be requested during the first answer, which is then cancelled', async () => {
    const h = await startHarness();
    const first = await post(h, 'messages', { messageId: 'q', content: 'x' });
    await FakeRun.take(h, 's', first.runId);
    const second = await post(h, 'messages/q/regenerate', { onBusy: 'interrupt' });
    expect((await h.commandLog.load({ tenant: 'default', sessionId: 's' }))?.state.runs).toMatchObject([
      { runId: first.runId, state: 'cancelling' },
      { runId: second.runId, state: 'queued' },
    ]);
  });
});

describe('a prompt that replaces another', () => {
  it('begins a branch, and the earlier branch stays', async () => {
    const h = await startHarness();
    await answered(h, 'hello', 'hi');
    const wrong = await answered(h, 'wrong', 'indeed', { messageId: 'w' });
    await answered(h, 'better', 'good', { replaces: 'w' });
    expect(await shown(h)).toEqual(['hello', 'hi', 'better', 'good']);
    expect(await shown(h, `?branch=${wrong.runId}`)).toEqual(['hello', 'hi', 'wrong', 'indeed']);
    expect(await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x', replaces: 'nothing' })).toMatchObject(
      { status: 404, body: { error: { code: 'message-not-found' } } },
    );
  });
});

describe('a prompt that follows a named run', () => {
  it('continues the branch of that run, in one append, and is one message however often it is sent', async () => {
    const h = await startHarness();
    const old = await answered(h, 'hello', 'hi');
    const newer = await answered(h, 'more', 'of it');
    const body = { messageId: 'm', content: 'instead', after: old.runId };
    const sent = await post(h, 'messages', body);
    expect(await post(h, 'messages', body)).toEqual(sent);
    await finish(h, sent.runId, 'so be it');
    expect(await shown(h)).toEqual(['hello', 'hi', 'instead', 'so be it']);
    expect(await shown(h, `?branch=${newer.runId}`)).toEqual(['hello', 'hi', 'more', 'of it']);
    await answered(h, 'on', 'and on', { after: sent.runId });
    const { port } = await h.listen();
    const path = '/v1/sessions/s/events?until=idle';
    const stream = await SseClient.open(port, path, { authorization: h.bearer('ann') });
    const types = (await stream.events.ended()).map(({ event }) => event);
    expect(types.filter((type) => type === 'branch.selected' || type === 'message.created')).toEqual([
      ...['message.created', 'message.created'],
      ...['branch.selected', 'message.created', 'message.created'],
    ]);
  });

  it.each([
    ['a run that is not there', { after: 'nothing' }, 404, 'run-not-found'],
    ['another run in a repeated request', { messageId: 'q', after: 'first' }, 409, 'message-conflict'],
    ['a prompt to replace as well', { after: 'first', replaces: 'q' }, 400, 'invalid-request'],
    ['no text', { after: 7 }, 400, 'invalid-request'],
  ])('is refused with %s, and stores nothing', async (_name, more, status, code) => {
    const h = await startHarness();
    const first = await answered(h, 'x', 'y', { messageId: 'q' });
    const before = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
    const named = more.after === 'first' ? { ...more, after: first.runId } : more;
    const answer = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x', ...named });
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect(await h.commandLog.load({ tenant: 'default', sessionId: 's' })).toEqual(before);
  });

  it('is refused with a run of a chat that is not there, or of another user', async () => {
    const h = await startHarness();
    const { runId } = await answered(h, 'x', 'y');
    for (const [path, user] of [
      ['/v1/sessions/none/messages', 'ann'],
      ['/v1/sessions/s/messages', 'bob'],
    ] as const)
      expect((await h.call('POST', path, user, { content: 'x', after: runId })).status).toBe(404);
  });
});

describe('a queued prompt', () => {
  it('can be edited and withdrawn, unless its answer has begun', async () => {
    const h = await startHarness();
    const first = await post(h, 'messages', { messageId: 'first', content: 'x' });
    await FakeRun.take(h, 's', first.runId);
    await post(h, 'messages', { messageId: 'second', content: 'rough' });
    await post(h, 'messages', { messageId: 'third', content: 'never mind' });
    expect((await h.call('PATCH', '/v1/sessions/s/messages/second', 'ann', { content: 'smooth' })).status).toBe(204);
    expect((await h.call('DELETE', '/v1/sessions/s/messages/third', 'ann')).status).toBe(204);
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect(body['messages']).toMatchObject([
      { content: 'x' },
      {},
      { content: 'smooth', status: 'queued' },
      { content: 'never mind', status: 'cancelled' },
    ]);
    for (const id of ['first', 'third']) {
      expect(await h.call('PATCH', `/v1/sessions/s/messages/${id}`, 'ann', { content: 'y' })).toMatchObject({
        status: 409,
        body: { error: { code: 'not-waiting' } },
      });
      expect(await h.call('DELETE', `/v1/sessions/s/messages/${id}`, 'ann')).toMatchObject({
        status: 409,
        body: { error: { code: 'not-waiting' } },
      });
    }
  });
});

it('WebSocket frames do and refuse the same', async () => {
  const h = await startHarness();
  const { wsUrl } = await h.listen();
  const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') } });
  const first = await answered(h, 'a question', 'one answer', { messageId: 'q' });
  const again = { type: 'regenerate', requestId: '1', sessionId: 's', messageId: 'q', answerId: 'again' };
  const second = await client.ask(again);
  expect(second).toMatchObject({ type: 'ok', messageId: 'q', answerId: 'again', queued: 0 });
  await client.ask({ type: 'send', requestId: '2', sessionId: 's', messageId: 'w', content: 'rough' });
  expect(await client.ask({ type: 'edit', requestId: '3', sessionId: 's', messageId: 'w', content: 'smooth' })).toEqual(
    { type: 'ok', requestId: '3' },
  );
  expect(await shown(h)).toEqual(['a question', 'smooth']);
  expect(await client.ask({ type: 'withdraw', requestId: '4', sessionId: 's', messageId: 'w' })).toEqual({
    type: 'ok',
    requestId: '4',
  });
  expect(await client.ask({ type: 'withdraw', requestId: '5', sessionId: 's', messageId: 'w' })).toMatchObject({
    type: 'error',
    code: 'not-waiting',
  });
  expect(await client.ask({ type: 'select', requestId: '6', sessionId: 's', runId: first.runId })).toEqual({
    type: 'ok',
    requestId: '6',
  });
  expect(await client.ask({ type: 'select', requestId: '7', sessionId: 's', runId: 'nobody' })).toMatchObject({
    type: 'error',
    code: 'run-not-found',
  });
  expect(await client.ask({ type: 'regenerate', requestId: '8', sessionId: 's' })).toMatchObject({
    type: 'error',
    code: 'invalid-request',
  });
  expect(await shown(h)).toEqual(['a question', 'one answer']);
});

it('another user’s branches do not exist for a caller', async () => {
  const h = await startHarness();
  const { runId } = await answered(h, 'a question', 'one answer', { messageId: 'q' });
  const calls = [
    h.call('POST', '/v1/sessions/s/messages/q/regenerate', 'bob', {}),
    h.call('PATCH', '/v1/sessions/s/messages/q', 'bob', { content: 'x' }),
    h.call('DELETE', '/v1/sessions/s/messages/q', 'bob'),
    h.call('PUT', '/v1/sessions/s/branch', 'bob', { runId }),
    h.call('GET', '/v1/sessions/s/branches', 'bob'),
    h.call('GET', `/v1/sessions/s/messages?branch=${runId}`, 'bob'),
  ];
  for (const answer of await Promise.all(calls))
    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'not-found' } } });
});
