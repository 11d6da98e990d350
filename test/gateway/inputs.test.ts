// What runs ask a human for, over both wires: the events, the answers and their refusals. The tests of test/session
// prove the effect on a chat; these prove requests and replies.
import { describe, expect, it } from 'vitest';
import { findRun } from '../../src/session/commands/command-state.ts';
import { askInputs } from '../../src/session/waits/ask-inputs.ts';
import { CHECK_MS_BURST } from '../../src/gateway/limits/check-budget.ts';
import { CHECK_MS_MAX } from '../../src/session/waits/input-schema.ts';
import type { NewWait } from '../../src/session/waits/new-wait.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';
import { eventually } from '../support/wait-for.ts';
import { WaitNode } from '../support/waiting-run.ts';

const REF = { tenant: 'default', sessionId: 's' };
const APPROVAL = { key: 'a', kind: 'approval', toolName: 'pay', toolCallId: 'c1' } as const;
const QUESTION = { key: 'q', kind: 'question', message: 'Which colour?', choices: ['red', 'blue'] } as const;
const INPUTS = '/v1/sessions/s/inputs';

interface Asked {
  readonly runId: string;
  readonly inputId: string;
}

/** A prompt of ann whose run waits. */
async function ask(h: Harness, wait: NewWait): Promise<readonly Asked[]> {
  const sent = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  expect(sent.status).toBe(202);
  const played = await new WaitNode(h.broker, h.clock).take(REF, sent.body['runId'] as string);
  const createdAt = new Date(h.clock.now()).toISOString();
  expect(await askInputs(h.commandLog, REF, played.run, wait, createdAt, played.holder)).toBe('waiting');
  return (await h.call('GET', INPUTS, 'ann')).body['inputs'] as Asked[];
}

function answer(h: Harness, { inputId }: Asked, body: unknown, as = 'ann') {
  return h.call('POST', `${INPUTS}/${inputId}`, as, body);
}

async function stateOf(h: Harness, { runId }: Asked): Promise<string | undefined> {
  const loaded = await h.commandLog.load(REF);
  return loaded && findRun(loaded.state, runId)?.state;
}

describe('what a run asks a human for', () => {
  it('is listed, shown in the chat, answered over HTTP, and then queued again', async () => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [QUESTION] });
    if (asked === undefined) throw new Error('nothing was asked');
    expect(asked).toMatchObject({ kind: 'question', message: 'Which colour?', choices: ['red', 'blue'] });
    const { runId, inputId } = asked;
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['activeRun']).toMatchObject({
      ...{ runId, state: 'waiting', inputs: [inputId] },
    });
    const messages = async () => (await h.call('GET', '/v1/sessions/s/messages', 'ann')).body['messages'];
    expect(await messages()).toMatchObject([{}, { status: 'waiting', inputs: [{ inputId, kind: 'question' }] }]);
    const runs = async () => (await h.call('GET', '/v1/sessions/s/runs', 'ann')).body['runs'];
    expect(await runs()).toMatchObject([{ state: 'waiting', waits: [{ inputs: [inputId] }] }]);
    const given = await answer(h, asked, { value: 'red' });
    expect(given).toMatchObject({ status: 202, body: { runId, open: 0 } });
    expect(await answer(h, asked, { value: 'red' })).toMatchObject({ status: 202, body: { runId, open: 0 } });
    expect(await messages()).toMatchObject([
      {},
      { status: 'queued', inputs: [{ answer: { by: 'ann', value: 'red' } }] },
    ]);
    expect(await runs()).toMatchObject([{ state: 'queued' }]);
    expect((await h.call('GET', `${INPUTS}?state=open`, 'ann')).body).toEqual({ inputs: [] });
  });

  it('reaches readers as events, and is answered in a frame', async () => {
    const h = await startHarness();
    const inputs = await ask(h, { inputs: [APPROVAL, QUESTION] });
    const { port, wsUrl } = await h.listen();
    const reader = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') } });
    const [approval, question] = inputs;
    const frame = { type: 'answer', sessionId: 's' };
    expect(
      await client.ask({ ...frame, requestId: '1', inputId: approval?.inputId, approved: false, reason: 'no' }),
    ).toMatchObject({ type: 'ok', requestId: '1', open: 1 });
    expect(await client.ask({ ...frame, requestId: '2', inputId: question?.inputId, value: 'green' })).toMatchObject({
      ...{ type: 'error', requestId: '2', code: 'invalid-answer', details: [{ path: '/value' }] },
    });
    await client.ask({ ...frame, requestId: '3', inputId: question?.inputId, value: 'blue' });
    await reader.events.first(({ event, data }) => event === 'input.answered' && data['value'] === 'blue');
    const seen = reader.events.seen.filter(({ event }) => /^(input|run\.wait)/.test(event));
    expect(seen.map(({ event }) => event)).toEqual([
      ...['input.requested', 'input.requested', 'run.waiting', 'input.answered', 'input.answered'],
    ]);
    expect(seen[3]?.data).toMatchObject({ by: 'ann', approved: false, reason: 'no' });
  });

  it.each([
    ['another answer', { approved: false }, 409, 'already-answered', { by: 'ann' }],
    ['an answer of another kind', { approved: true, value: 1 }, 409, 'already-answered', { by: 'ann' }],
  ])('refuses %s, and says who answered first', async (_what, body, status, code, details) => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [APPROVAL, QUESTION] });
    if (asked === undefined) throw new Error('nothing was asked');
    await answer(h, asked, { approved: true });
    expect(await answer(h, asked, body)).toMatchObject({
      status,
      body: { error: { code, retryable: false, details } },
    });
  });

  it.each([
    ['no field', {}, 400, 'invalid-answer'],
    ['text where a truth belongs', { approved: 'yes' }, 400, 'invalid-request'],
    ['too large a reason', { approved: true, reason: 'x'.repeat(64 * 1024) }, 413, 'too-large'],
  ])('refuses %s, and stays open', async (_what, body, status, code) => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [APPROVAL] });
    if (asked === undefined) throw new Error('nothing was asked');
    expect(await answer(h, asked, body)).toMatchObject({ status, body: { error: { code } } });
    expect(await stateOf(h, asked)).toBe('waiting');
  });

  it('is not there for others, and not for tokens that may only read or have other sessions', async () => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [APPROVAL] });
    if (asked === undefined) throw new Error('nothing was asked');
    expect(await answer(h, asked, { approved: true }, 'bob')).toMatchObject({ status: 404 });
    expect((await h.call('GET', INPUTS, 'bob')).status).toBe(404);
    for (const [claims, status] of [
      [{ scope: 'worker' }, 403],
      [{ sessions: ['other'] }, 404],
    ] as const) {
      const refused = await h.gateway.app.inject({
        method: 'POST',
        url: `${INPUTS}/${asked.inputId}`,
        headers: { authorization: h.bearer('ann', claims) },
        payload: { approved: true },
      });
      expect([claims, refused.statusCode]).toEqual([claims, status]);
    }
    expect(await stateOf(h, asked)).toBe('waiting');
  });

  it('is answered neither with a ticket that only reads, nor on a node that drains', async () => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [APPROVAL] });
    if (asked === undefined) throw new Error('nothing was asked');
    const { wsUrl } = await h.listen();
    const frame = { type: 'answer', sessionId: 's', requestId: '1', inputId: asked.inputId, approved: true };
    const ticket = String((await h.call('POST', '/v1/tickets', 'ann', { purpose: 'socket' })).body['ticket']);
    const reader = await WsClient.open(`${wsUrl}?ticket=${ticket}`);
    expect(await reader.ask(frame)).toMatchObject({ type: 'error', code: 'forbidden' });
    void h.gateway.drain({ windowMs: 0, deadlineMs: 0 });
    const refused = { status: 503, body: { error: { code: 'draining', retryable: true } } };
    expect(await answer(h, asked, { approved: true })).toMatchObject(refused);
    expect(await stateOf(h, asked)).toBe('waiting');
  });

  it('is closed at its time by a gateway', async () => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [APPROVAL], expiresInMs: 60_000 });
    if (asked === undefined) throw new Error('nothing was asked');
    await eventually(async () => {
      await h.clock.advance(30_000);
      return (await stateOf(h, asked)) === 'queued';
    });
    expect(await answer(h, asked, { approved: true })).toMatchObject({
      ...{ status: 409, body: { error: { code: 'not-waiting' } } },
    });
  });

  it('ends with a Stop at once', async () => {
    const h = await startHarness();
    const [asked] = await ask(h, { inputs: [APPROVAL] });
    if (asked === undefined) throw new Error('nothing was asked');
    expect((await h.call('POST', '/v1/sessions/s/cancel', 'ann', {})).status).toBe(202);
    expect(await stateOf(h, asked)).toBeUndefined();
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect(body['messages']).toMatchObject([{}, { status: 'cancelled', inputs: [{ closed: 'cancelled' }] }]);
  });

  it('is refused from a user whose answers took too long to check, until that user has time again', async () => {
    const h = await startHarness();
    const slow = { key: 's', kind: 'question', schema: { type: 'string', pattern: '^(a+)+$' } } as const;
    const [asked, approval] = await ask(h, { inputs: [slow, APPROVAL] });
    if (asked === undefined || approval === undefined) throw new Error('nothing was asked');
    // The clock stands still, so no time comes back.
    const slowValue = `${'a'.repeat(60)}b`;
    let refused = await answer(h, asked, { value: slowValue });
    for (let spentMs = 0; refused.status === 400 && spentMs < CHECK_MS_BURST; spentMs += CHECK_MS_MAX)
      refused = await answer(h, asked, { value: slowValue });
    expect([refused.status, refused.body['error']]).toMatchObject([429, { code: 'too-many', retryable: true }]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await answer(h, approval, { approved: true })).status).toBe(202);
    await h.clock.advance(Number(refused.headers['retry-after']) * 1000);
    expect(await answer(h, asked, { value: 'aaa' })).toMatchObject({ status: 202, body: { open: 0 } });
  });
});
