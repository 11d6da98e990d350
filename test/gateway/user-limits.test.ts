// The limits of one user: runs and chats on all nodes, tickets and subscriptions on this node. What the user gives back
// is available again.
import { describe, expect, it } from 'vitest';
import { startHarness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

describe('tickets', () => {
  it('of one user are refused above their limit, until one has expired', async () => {
    const h = await startHarness({ config: { ticketsPerUserMax: 3, ticketTtlMs: 30_000 } });
    const buy = async (user: string): ReturnType<typeof h.call> => h.call('POST', '/v1/tickets', user, {});
    for (let i = 0; i < 3; i += 1) expect((await buy('mallory')).status).toBe(201);
    await h.clock.advance(10_000);
    const refused = await buy('mallory');
    expect(refused).toMatchObject({
      status: 429,
      body: { error: { code: 'too-many', retryable: true, message: expect.stringContaining('3 tickets') as unknown } },
      headers: { 'retry-after': '20' },
    });
    expect((await buy('ann')).status).toBe(201);
    await h.clock.advance(20_000);
    expect((await buy('mallory')).status).toBe(201);
  });
});

describe('runs and chats', () => {
  it('above the limit of a user are refused over HTTP and WebSockets, while cancel and removal still work', async () => {
    const h = await startHarness({ config: { runsPerUserMax: 3, sessionsPerUserMax: 4 } });
    const { wsUrl } = await h.listen();
    const socket = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('mallory') } });
    let requests = 0;
    const overSocket = async (sessionId: string): Promise<unknown> =>
      socket.ask({ type: 'send', requestId: `r${(requests += 1)}`, sessionId, content: 'x' });
    const overHttp = async (sessionId: string, body: object = {}): ReturnType<typeof h.call> =>
      h.call('POST', `/v1/sessions/${sessionId}/messages`, 'mallory', { content: 'x', ...body });
    const first = await overHttp('a', { messageId: 'm1' });
    expect([first.status, (await overHttp('b')).status]).toEqual([202, 202]);
    expect(await overSocket('a')).toMatchObject({ type: 'ok' });

    const tooManyRuns = {
      code: 'too-many-runs',
      retryable: true,
      message: expect.stringContaining('stop one') as unknown,
      details: { limit: 3 },
    };
    for (const id of ['a', 'b', 'new']) {
      expect(await overHttp(id)).toMatchObject({
        status: 429,
        body: { error: tooManyRuns },
        headers: { 'retry-after': '5' },
      });
      expect(await overSocket(id)).toMatchObject({ type: 'error', ...tooManyRuns, retryAfterMs: 5000 });
    }
    expect(await h.call('POST', '/v1/sessions/a/messages/m1/regenerate', 'mallory', {})).toMatchObject({ status: 409 });
    expect((await h.call('GET', '/v1/sessions/new', 'mallory')).status).toBe(404);
    expect((await overHttp('a', { messageId: 'm1' })).body['runId']).toBe(first.body['runId']);
    expect((await h.call('POST', '/v1/sessions/anns/messages', 'ann', { content: 'x' })).status).toBe(202);
    expect((await h.call('POST', '/v1/sessions/a/cancel', 'mallory', { runId: first.body['runId'] })).status).toBe(202);
    expect(await overSocket('c')).toMatchObject({ type: 'ok' });
    expect((await h.call('POST', '/v1/sessions/a/messages/m1/regenerate', 'mallory', {})).body).toMatchObject({
      error: tooManyRuns,
    });

    const make = async (sessionId?: string): ReturnType<typeof h.call> =>
      h.call('POST', '/v1/sessions', 'mallory', sessionId === undefined ? {} : { sessionId });
    expect((await make('d')).status).toBe(201);
    for (const id of ['e', undefined]) {
      expect(await make(id)).toMatchObject({
        status: 429,
        body: {
          error: {
            code: 'too-many-sessions',
            retryable: false,
            message: expect.stringContaining('delete one') as unknown,
            details: { limit: 4 },
          },
        },
      });
    }
    expect((await make('d')).status).toBe(200);
    expect((await h.call('DELETE', '/v1/sessions/a', 'mallory')).status).toBe(204);
    // The removal has freed a run of the limit as well.
    expect(await overSocket('e')).toMatchObject({ type: 'ok' });
    expect((await h.call('DELETE', '/v1/sessions/b', 'mallory')).status).toBe(204);
    expect(await overHttp('f')).toMatchObject({ status: 202 });
    expect(await overHttp('f')).toMatchObject({ status: 429, body: { error: { code: 'too-many-runs' } } });
    expect((await h.call('DELETE', '/v1/sessions/f', 'mallory')).status).toBe(204);
    expect([(await make('g')).status, ((await overSocket('h')) as { code: string }).code]).toEqual([
      201,
      'too-many-sessions',
    ]);
  });

  it('have no limit when it is 0', async () => {
    const h = await startHarness({ config: { runsPerUserMax: 0, sessionsPerUserMax: 0 } });
    for (let i = 0; i < 300; i += 1)
      expect((await h.call('POST', `/v1/sessions/c${i}/messages`, 'ann', { content: 'x' })).status).toBe(202);
  });
});

describe('subscriptions', () => {
  it('of one user are counted over all of its sockets, and are free again after they end', async () => {
    const h = await startHarness({ config: { subscriptionsPerUserMax: 4 } });
    const { wsUrl } = await h.listen();
    for (let i = 0; i < 6; i += 1) await h.call('POST', '/v1/sessions', 'mallory', { sessionId: `s${i}` });
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 'hers' });
    const open = (user: string): Promise<WsClient> =>
      WsClient.open(wsUrl, { headers: { authorization: h.bearer(user) } });
    const subscribe = async (socket: WsClient, sessionId: string): Promise<unknown> => {
      const seen = socket.frames.seen.length;
      socket.send({ type: 'subscribe', sessionId });
      await socket.frames.until((frames) =>
        frames
          .slice(seen)
          .some((frame) => frame['sessionId'] === sessionId && (frame.type === 'subscribed' || frame.type === 'error')),
      );
      const answer = socket.frames.seen
        .slice(seen)
        .find((frame) => frame['sessionId'] === sessionId && (frame.type === 'subscribed' || frame.type === 'error'));
      return answer?.type === 'error' ? answer['code'] : answer?.type;
    };
    const [one, two, other] = [await open('mallory'), await open('mallory'), await open('ann')];
    expect([
      await subscribe(one, 's0'),
      await subscribe(one, 's1'),
      await subscribe(two, 's2'),
      await subscribe(two, 's3'),
    ]).toEqual(Array.from({ length: 4 }, () => 'subscribed'));
    expect([await subscribe(one, 's4'), await subscribe(two, 's5'), await subscribe(other, 'hers')]).toEqual([
      'too-many',
      'too-many',
      'subscribed',
    ]);
    // Subscribing again from another position is the same subscription.
    expect(await subscribe(one, 's0')).toBe('subscribed');
    one.send({ type: 'unsubscribe', sessionId: 's0' });
    expect(await subscribe(one, 's4')).toBe('subscribed');
    one.socket.close();
    await one.closed;
    expect([await subscribe(two, 's0'), await subscribe(two, 's1'), await subscribe(two, 's4')]).toEqual([
      'subscribed',
      'subscribed',
      'too-many',
    ]);
  });
});

it('a new reader of a chat with many changes of its metadata receives the last change, on both wires', async () => {
  const h = await startHarness();
  const { wsUrl, port } = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's1', title: 'first' });
  for (let i = 0; i < 40; i += 1)
    await h.call('PATCH', '/v1/sessions/s1', 'ann', { metadata: { i, filler: 'x'.repeat(10_000) } });
  const read = await h.gateway.app.inject({ url: '/v1/sessions/s1', headers: { authorization: h.bearer('ann') } });
  expect(read.json()).toMatchObject({ title: 'first', metadata: { i: 39 } });
  const socket = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') } });
  socket.send({ type: 'subscribe', sessionId: 's1' });
  await socket.frames.until((frames) => frames.some((frame) => frame['event'] === 'live'));
  const events = socket.frames.seen.flatMap((frame) =>
    frame.type === 'events'
      ? (frame['events'] as { event: string; data: unknown }[])
      : frame.type === 'event'
        ? [frame as unknown as { event: string; data: unknown }]
        : [],
  );
  expect(events.map(({ event }) => event)).toEqual(['session.created', 'session.updated', 'live']);
  expect(events[1]?.data).toMatchObject({ title: 'first', metadata: { i: 39 } });
  const sse = await SseClient.open(port, '/v1/sessions/s1/events', { authorization: h.bearer('ann') });
  await sse.events.until((seen) => seen.some(({ event }) => event === 'live'));
  expect(sse.events.seen.map(({ event, data }) => ({ event, data }))).toEqual(
    events.map(({ event, data }) => ({ event, data })),
  );
  // A live reader receives every change.
  await h.call('PATCH', '/v1/sessions/s1', 'ann', { title: 'second' });
  await h.call('PATCH', '/v1/sessions/s1', 'ann', { title: 'third' });
  await socket.frames.until((frames) => frames.filter((frame) => frame['event'] === 'session.updated').length >= 2);
  await sse.events.until((seen) => seen.filter(({ event }) => event === 'session.updated').length >= 3);
  const lateTitles = sse.events.seen.slice(events.length).map(({ data }) => (data as { title: string }).title);
  expect(lateTitles).toEqual(['second', 'third']);
  sse.close();
});
