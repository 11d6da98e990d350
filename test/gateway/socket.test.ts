// The WebSocket wire: how a socket authenticates, every frame, every close code, and the limits. [PROTOCOL §6]
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/wait-for.ts';
import { AnswerFold } from '../support/gateway-answer-fold.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness, type HarnessOptions } from '../support/gateway-harness.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

interface Node {
  readonly h: Harness;
  readonly wsUrl: string;
  /** A socket of ann's. */
  readonly open: (claims?: Readonly<Record<string, unknown>>) => Promise<WsClient>;
}

async function startNode(options: HarnessOptions = {}): Promise<Node> {
  const h = await startHarness(options);
  const { wsUrl } = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
  return {
    h,
    wsUrl,
    open: (claims = {}) => WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann', claims) } }),
  };
}

describe('an upgrade', () => {
  it('accepts the subprotocol holdline.v1 and no other', async () => {
    const { h, wsUrl } = await startNode();
    const headers = { authorization: h.bearer('ann') };
    expect((await WsClient.open(wsUrl, { headers, protocols: ['other', 'holdline.v1'] })).socket.protocol).toBe(
      'holdline.v1',
    );
    expect((await WsClient.open(wsUrl, { headers })).socket.protocol).toBe('');
    await expect(WsClient.open(wsUrl, { headers, protocols: ['other'] })).rejects.toThrow();
  });

  it('never compresses', async () => {
    const { h, wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') }, perMessageDeflate: true });
    expect(client.socket.extensions).toBe('');
  });

  it('is refused with a bad token, a token in its URL, or a token without the scope', async () => {
    const { h, wsUrl } = await startNode();
    const statusOf = (url: string, authorization?: string): Promise<unknown> =>
      WsClient.open(url, authorization === undefined ? {} : { headers: { authorization } }).catch(
        (error: unknown) => (error as { status: number }).status,
      );
    expect(await statusOf(wsUrl, 'Bearer x')).toBe(401);
    expect(await statusOf(`${wsUrl}?token=${h.token('ann')}`)).toBe(401);
    expect(await statusOf(`${wsUrl}?ticket=${h.token('ann')}`)).toBe(400);
    expect(await statusOf(wsUrl, h.bearer('ann', { scope: 'worker' }))).toBe(403);
    expect(await statusOf(`${wsUrl}/x`, h.bearer('ann'))).toBe(404);
  });

  it('is refused with a time to wait when there are too many', async () => {
    const { h, wsUrl, open } = await startNode({ config: { connectionsPerUserMax: 1 } });
    await open();
    await expect(open()).rejects.toMatchObject({ status: 429, headers: { 'retry-after': '5' } });
    // The user of a socket may become known only after the upgrade.
    const late = await WsClient.open(wsUrl);
    late.send({ type: 'auth', token: h.token('ann') });
    const { code, reason } = await late.closed;
    expect([code, JSON.parse(reason)]).toEqual([4429, { code: 'too-many', afterMs: 5000 }]);
  });
});

describe('auth', () => {
  it('is the first frame of a socket without credentials', async () => {
    const { h, wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl);
    client.send({ type: 'auth', token: h.token('ann') });
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
  });

  it('must come within ten seconds: 4408', async () => {
    const { h, wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl);
    await h.clock.advance(9_000);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    await h.clock.advance(1_000);
    expect((await client.closed).code).toBe(4408);
  });

  it.each<[string, unknown]>([
    ['subscribe', { type: 'subscribe', sessionId: 's' }],
    ['send', { type: 'send', requestId: 'r', sessionId: 's', content: 'x' }],
    ['ping', { type: 'ping' }],
    ['a frame that is not valid', { type: 'send', requestId: 'r' }],
  ])('comes before %s: 4401', async (_name, frame) => {
    const { wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl);
    client.send(frame);
    expect((await client.closed).code).toBe(4401);
    expect(client.frames.seen).toEqual([]);
  });

  it('with an invalid token closes: 4401', async () => {
    const { wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl);
    client.send({ type: 'auth', token: 'x' });
    expect(await client.closed).toEqual({ code: 4401, reason: 'unauthenticated' });
  });

  it('with a token without the scope closes: 4403', async () => {
    const { h, wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl);
    client.send({ type: 'auth', token: h.token('ann', { scope: 'worker' }) });
    expect((await client.closed).code).toBe(4403);
  });

  it('again keeps a socket open beyond its first token; without it, 4401', async () => {
    const { h, open } = await startNode();
    const expiring = { exp: h.clock.now() / 1000 + 60 };
    const [kept, left] = [await open(expiring), await open(expiring)];
    kept.send({ type: 'subscribe', sessionId: 's' });
    await kept.untilEvent('s', 'live');
    await h.clock.advance(50_000);
    kept.send({ type: 'auth', token: h.token('ann') });
    kept.send({ type: 'ping' });
    await kept.frames.first((one) => one.type === 'pong');
    await h.clock.advance(10_000);
    expect(await left.closed).toEqual({ code: 4401, reason: 'token-expired' });
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    await kept.untilEvent('s', 'run.queued');
  });

  it('again by another user closes: 4403', async () => {
    const { h, open } = await startNode();
    for (const token of [h.token('bob'), h.token('ann', { tenant: 'other' })]) {
      const client = await open();
      client.send({ type: 'auth', token });
      expect((await client.closed).code).toBe(4403);
    }
  });

  it('again for fewer sessions ends only the subscriptions that the token no longer covers', async () => {
    const { h, open } = await startNode();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 't' });
    const client = await open();
    for (const sessionId of ['s', 't']) {
      client.send({ type: 'subscribe', sessionId });
      await client.untilEvent(sessionId, 'live');
    }
    client.send({ type: 'auth', token: h.token('ann', { sessions: ['t'] }) });
    expect(await client.frames.first((one) => one.type === 'error')).toMatchObject({
      sessionId: 's',
      code: 'forbidden',
    });
    for (const sessionId of ['s', 't'])
      await h.call('POST', `/v1/sessions/${sessionId}/messages`, 'ann', { content: 'x' });
    await client.untilEvent('t', 'run.queued');
    expect(client.events('s').map((one) => one.event)).not.toContain('run.queued');
    expect(await client.ask({ type: 'send', requestId: 'r', sessionId: 's', content: 'x' })).toMatchObject({
      type: 'error',
      code: 'not-found',
    });
  });

  it('refuses the next frame when the token expires between two pulses', async () => {
    const { h, open } = await startNode();
    const client = await open({ exp: h.clock.now() / 1000 + 1.5 });
    await h.clock.advance(1_600);
    client.send({ type: 'send', requestId: 'r', sessionId: 's', content: 'x' });
    expect((await client.closed).code).toBe(4401);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['messages']).toBe(0);
  });
});

describe('subscribe', () => {
  it('is answered, then followed by events with positions and control events without', async () => {
    const { open } = await startNode();
    const client = await open();
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
    expect(client.frames.seen).toEqual([
      { type: 'subscribed', sessionId: 's', position: 'earliest' },
      {
        type: 'event',
        sessionId: 's',
        id: 'e2.0',
        event: 'session.created',
        data: { createdAt: '2026-01-01T00:00:00.000Z' },
      },
      { type: 'event', sessionId: 's', event: 'live', data: { position: 'e2.0' } },
    ]);
  });

  it('begins after a position, or at a cursor', async () => {
    const { h, open } = await startNode();
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    await h.call('PUT', '/v1/sessions/s/cursors/c', 'ann', { position: 'e2.1' });
    const firstOf = async (fields: Readonly<Record<string, unknown>>): Promise<unknown> => {
      const client = await open();
      client.send({ type: 'subscribe', sessionId: 's', ...fields });
      await client.untilEvent('s', 'live');
      return [client.frames.seen[0]?.['position'], client.events('s')[0]?.id];
    };
    expect(await firstOf({ after: 'e2.0' })).toEqual(['e2.0', 'e2.1']);
    expect(await firstOf({ cursor: 'c' })).toEqual(['e2.1', 'e2.2']);
    expect(await firstOf({ after: 'latest' })).toEqual(['e2.2', undefined]);
    expect(await firstOf({ after: 'earliest', cursor: 'c' })).toEqual(['earliest', 'e2.0']);
  });

  it.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['a session that is not there', { sessionId: 'nothing' }, 'not-found'],
    ['an id that is none', { sessionId: '../x' }, 'not-found'],
    ['a position that is none', { sessionId: 's', after: 'x' }, 'invalid-position'],
    ['a position that is a number', { sessionId: 's', after: 7 }, 'invalid-request'],
    ['a cursor that is none', { sessionId: 's', cursor: '..' }, 'invalid-request'],
  ])('to %s is answered with an error, and the socket stays', async (_name, fields, code) => {
    const { open } = await startNode();
    const client = await open();
    client.send({ type: 'subscribe', ...fields });
    expect(await client.frames.first((one) => one.type === 'error')).toMatchObject({
      sessionId: fields['sessionId'],
      code,
    });
    client.send({ type: 'ping' });
    await client.frames.first((one) => one.type === 'pong');
  });

  it('to another user’s session is answered like a missing session', async () => {
    const { h, wsUrl } = await startNode();
    const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('bob') } });
    client.send({ type: 'subscribe', sessionId: 's' });
    client.send({ type: 'subscribe', sessionId: 'x' });
    await client.frames.until((seen) => seen.length === 2);
    const [foreign, unknown] = client.frames.seen;
    expect({ ...foreign, sessionId: '' }).toEqual({ ...unknown, sessionId: '' });
  });

  it('again starts over from the new position, and earlier events come before the reply', async () => {
    const { h, open } = await startNode();
    const client = await open();
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
    client.send({ type: 'subscribe', sessionId: 's', after: 'e2.0' });
    await client.frames.until((seen) => seen.filter((one) => one.type === 'subscribed').length === 2);
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    await client.untilEvent('s', 'run.queued');
    const later = client.frames.seen.slice(client.frames.seen.findLastIndex((one) => one.type === 'subscribed'));
    expect(
      later.flatMap((one) =>
        one.type === 'events'
          ? (one['events'] as { id: string }[]).map((event) => event.id)
          : one.type === 'event'
            ? [one['id']]
            : [],
      ),
    ).toEqual([undefined, 'e2.1', 'e2.2']);
  });

  it('sends `reset` and continues from the earliest when a position cannot be served', async () => {
    const { open } = await startNode();
    const client = await open();
    client.send({ type: 'subscribe', sessionId: 's', after: 'other.0' });
    await client.untilEvent('s', 'live');
    expect(client.events('s').map((one) => one.event)).toEqual(['reset', 'session.created', 'live']);
  });

  it('ends with `reset` and an error when the session is removed', async () => {
    const { h, open } = await startNode();
    const client = await open();
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
    await h.call('DELETE', '/v1/sessions/s', 'ann');
    expect(await client.frames.first((one) => one.type === 'error')).toMatchObject({
      sessionId: 's',
      code: 'not-found',
      retryable: false,
    });
    expect(client.events('s').at(-1)).toMatchObject({ event: 'reset', data: { reason: 'removed' } });
  });

  it('ends with `unsubscribe`', async () => {
    const { h, open } = await startNode();
    const client = await open();
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
    client.send({ type: 'unsubscribe', sessionId: 's' });
    client.send({ type: 'ping' });
    await client.frames.first((one) => one.type === 'pong');
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    client.send({ type: 'subscribe', sessionId: 's', after: 'e2.1' });
    await client.untilEvent('s', 'run.queued');
    expect(client.events('s').flatMap((one) => one.id ?? [])).toEqual(['e2.0', 'e2.2']);
  });

  it('works for many sessions on one socket, up to a limit', async () => {
    const { h, open } = await startNode({ config: { subscriptionsPerSocketMax: 3 } });
    const client = await open();
    for (const sessionId of ['a', 'b', 'c', 'd']) {
      await h.call('POST', '/v1/sessions', 'ann', { sessionId });
      client.send({ type: 'subscribe', sessionId });
    }
    expect(await client.frames.first((one) => one.type === 'error')).toMatchObject({
      sessionId: 'd',
      code: 'too-many',
      retryable: true,
    });
    client.send({ type: 'subscribe', sessionId: 'a', after: 'latest' });
    await client.frames.until((seen) => seen.filter((one) => one.type === 'subscribed').length === 4);
    for (const sessionId of ['a', 'b', 'c']) {
      await h.call('POST', `/v1/sessions/${sessionId}/messages`, 'ann', { content: sessionId });
      await client.untilEvent(sessionId, 'message.created');
    }
  });
});

describe('send, cancel and ack', () => {
  it('do what their HTTP routes do', async () => {
    const { h, open } = await startNode();
    const client = await open();
    const sent = await client.ask({ type: 'send', requestId: '1', sessionId: 'new', messageId: 'm', content: 'x' });
    expect(sent).toMatchObject({ type: 'ok', requestId: '1', messageId: 'm', queued: 0 });
    const again = await h.call('POST', '/v1/sessions/new/messages', 'ann', { messageId: 'm', content: 'x' });
    expect(again.body).toEqual({ messageId: 'm', runId: sent['runId'], position: sent['position'], queued: 0 });
    client.send({ type: 'ack', sessionId: 'new', cursor: 'c', position: sent['position'] });
    expect(
      await client.ask({ type: 'ack', requestId: '2', sessionId: 'new', cursor: 'c', position: 'latest' }),
    ).toEqual({ type: 'ok', requestId: '2' });
    expect((await h.call('GET', '/v1/sessions/new/cursors/c', 'ann')).body['position']).toMatch(/\.1$/);
    expect(await client.ask({ type: 'cancel', requestId: '3', sessionId: 'new' })).toEqual({
      type: 'ok',
      requestId: '3',
      runId: sent['runId'],
    });
    expect(await client.ask({ type: 'cancel', requestId: '4', sessionId: 'new' })).toMatchObject({
      type: 'error',
      code: 'no-active-run',
    });
  });

  it.each<[string, Readonly<Record<string, unknown>> & { readonly requestId: string }, string]>([
    ['no content', { type: 'send', requestId: 'r', sessionId: 's' }, 'invalid-request'],
    ['content that is none', { type: 'send', requestId: 'r', sessionId: 's', content: 7 }, 'invalid-request'],
    ['a session id that is none', { type: 'send', requestId: 'r', sessionId: 'a/b', content: 'x' }, 'not-found'],
    ['no session', { type: 'send', requestId: 'r', content: 'x' }, 'invalid-request'],
    [
      'a priority above the token’s',
      { type: 'send', requestId: 'r', sessionId: 's', content: 'x', priority: 'high' },
      'forbidden',
    ],
    ['a cancel of nothing', { type: 'cancel', requestId: 'r', sessionId: 's' }, 'no-active-run'],
    ['a cancel elsewhere', { type: 'cancel', requestId: 'r', sessionId: 'x' }, 'not-found'],
    ['a cancel of a number', { type: 'cancel', requestId: 'r', sessionId: 's', runId: 7 }, 'invalid-request'],
    [
      'an ack beyond the end',
      { type: 'ack', requestId: 'r', sessionId: 's', cursor: 'c', position: 'e2.9' },
      'cursor-conflict',
    ],
    [
      'an ack of no position',
      { type: 'ack', requestId: 'r', sessionId: 's', cursor: 'c', position: 'x' },
      'invalid-position',
    ],
  ])('with %s are answered with an error', async (_name, frame, code) => {
    const { open } = await startNode();
    const client = await open();
    expect(await client.ask(frame)).toMatchObject({ type: 'error', requestId: 'r', code, retryable: false });
    client.send({ type: 'ping' });
    await client.frames.first((one) => one.type === 'pong');
  });

  it('on another user’s session are answered like on a missing session', async () => {
    const { h, wsUrl } = await startNode();
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('bob') } });
    const frames = [
      { type: 'send', content: 'x' },
      { type: 'cancel' },
      { type: 'ack', cursor: 'c', position: 'latest' },
    ];
    for (const [i, frame] of frames.entries()) {
      expect(await client.ask({ ...frame, requestId: String(i), sessionId: 's' })).toMatchObject({
        type: 'error',
        code: 'not-found',
      });
    }
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body).toMatchObject({
      messages: 1,
      activeRun: { state: 'queued' },
    });
  });

  it('are served in the order of arrival', async () => {
    const { open } = await startNode();
    const client = await open();
    for (let i = 0; i < 200; i += 1)
      client.send({ type: 'ack', requestId: String(i), sessionId: 's', cursor: 'c', position: 'latest' });
    await client.frames.until((seen) => seen.length === 200);
    expect(client.frames.seen.map((one) => one['requestId'])).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
  });

  it('give no detail of an unexpected error, and log it', async () => {
    const { h, open } = await startNode();
    const client = await open();
    h.broker.append = () => Promise.reject(new Error('secret inner detail'));
    expect(await client.ask({ type: 'send', requestId: 'r', sessionId: 's', content: 'x' })).toEqual({
      type: 'error',
      requestId: 'r',
      code: 'internal',
      message: 'something went wrong here',
      retryable: true,
    });
    expect(h.logged.filter((line) => line.includes('secret inner detail'))).toHaveLength(1);
  });
});

describe('a bad frame closes the socket with 4400:', () => {
  it.each<[string, string | Buffer]>([
    ['no JSON', 'hello'],
    ['nothing', ''],
    ['half of it', '{"type":"ping"'],
    ['a list', '[]'],
    ['null', 'null'],
    ['text', '"ping"'],
    ['no type', '{}'],
    ['a type that is a number', '{"type":1}'],
    ['an unknown type', '{"type":"shutdown"}'],
    ['a type that is a property of objects', '{"type":"constructor"}'],
    ['__proto__ in it', '{"type":"ping","__proto__":{"x":1}}'],
    ['constructor.prototype in it', '{"type":"ping","x":{"constructor":{"prototype":{}}}}'],
    ['a subscription to nothing', '{"type":"subscribe"}'],
    ['a subscription to a number', '{"type":"subscribe","sessionId":7}'],
    ['a request without an id', '{"type":"send","sessionId":"s","content":"x"}'],
    ['a request whose id is a number', '{"type":"cancel","requestId":7,"sessionId":"s"}'],
    ['a request whose id is a novel', `{"type":"cancel","requestId":"${'x'.repeat(129)}","sessionId":"s"}`],
    ['auth without a token', '{"type":"auth"}'],
    ['bytes', Buffer.from('{"type":"ping"}')],
  ])('%s', async (_name, frame) => {
    const { open } = await startNode();
    const client = await open();
    client.socket.send(frame, { binary: typeof frame !== 'string' });
    expect(await client.closed).toEqual({ code: 4400, reason: 'bad-frame' });
  });
});

describe('limits of a socket', () => {
  it('a frame that is too big: 1009', async () => {
    const { open } = await startNode({ config: { wsPayloadBytesMax: 1000 } });
    const client = await open();
    client.send({ type: 'send', requestId: 'r', sessionId: 's', content: 'x'.repeat(1000) });
    expect((await client.closed).code).toBe(1009);
  });

  it('a frame in too many fragments: 1008', async () => {
    const { open } = await startNode({ config: { wsFragmentsMax: 8 } });
    const client = await open();
    for (let i = 0; i < 20; i += 1) client.socket.send('x', { fin: false });
    expect((await client.closed).code).toBe(1008);
  });

  it('text that is not UTF-8: 1007', async () => {
    const { open } = await startNode();
    const client = await open();
    client.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    expect((await client.closed).code).toBe(1007);
  });

  it.each<[string, (client: WsClient) => void]>([
    ['frames', (client) => client.send({ type: 'ping' })],
    ['pings', (client) => client.socket.ping()],
    ['pongs that nobody asked for', (client) => client.socket.pong()],
  ])('too many %s at once: 4429, with the time to come back', async (_name, flood) => {
    const { open } = await startNode({ config: { framesBurst: 10, framesPerSecond: 10 } });
    const client = await open();
    for (let i = 0; i < 11; i += 1) flood(client);
    const { code, reason } = await client.closed;
    expect([code, (JSON.parse(reason) as { afterMs: number }).afterMs]).toEqual([4429, 5000]);
  });

  it('frames at the allowed rate are served without end', async () => {
    const { h, open } = await startNode({ config: { framesBurst: 10, framesPerSecond: 10 } });
    const client = await open();
    for (let second = 1; second <= 3; second += 1) {
      for (let i = 0; i < 10; i += 1) client.send({ type: 'ping' });
      await client.frames.until((seen) => seen.length === second * 10);
      await h.clock.advance(1000);
    }
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  it('is pinged every 25 seconds, and cut after 8 seconds without an answer', async () => {
    const { h, open } = await startNode();
    const awake = await open({ exp: h.clock.now() / 1000 + 1000 });
    for (let i = 0; i < 3; i += 1) {
      await h.clock.advance(25_000);
      await eventually(() => awake.pings === i + 1);
    }
    const asleep = await open({ exp: h.clock.now() / 1000 + 1000 });
    asleep.socket.pause();
    await h.clock.advance(25_000);
    await h.clock.advance(7_000);
    expect(h.gateway.app.websocketServer.clients.size).toBe(2);
    await h.clock.advance(1_000);
    asleep.socket.resume();
    expect((await asleep.closed).code).toBe(1006);
    expect(awake.socket.readyState).toBe(awake.socket.OPEN);
  });
});

it('a text cut and resumed at every position, on sockets, is exact', async () => {
  const { h, open } = await startNode();
  const { body } = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  const run = await FakeRun.take(h, 's', String(body['runId']));
  const watcher = await open();
  watcher.send({ type: 'subscribe', sessionId: 's' });
  await watcher.untilEvent('s', 'live');
  await run.say('one ', 'two ', '🌍 ', 'thr');
  await run.dropFrom(8);
  await run.say('3', '.');
  await run.complete();
  await watcher.untilEvent('s', 'run.completed');
  const all = watcher.events('s').filter((one) => one.id !== undefined);
  const last = Number(all.at(-1)?.id?.split('.')[1]);
  for (let cut = 0; cut <= last; cut += 1) {
    const client = await open();
    client.send({ type: 'subscribe', sessionId: 's', after: `e2.${cut}` });
    await client.untilEvent('s', 'live');
    const read = all.filter((one) => Number(one.id?.split('.')[1]) <= cut);
    expect([cut, new AnswerFold().add(read).add(client.events('s')).text(run.run.runId)]).toEqual([cut, 'one two 3.']);
    client.socket.terminate();
  }
});
