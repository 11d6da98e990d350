// The drain: the node is not ready, refuses new streams and prompts, asks every connection within the window to
// reconnect at a time of its own, and cuts the remaining connections at the deadline. [PROTOCOL §4, §6]
import { describe, expect, it } from 'vitest';
import { RECONNECT_AFTER_MS } from '../../src/gateway/connections/drain.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

const WINDOW = { windowMs: 2_000, deadlineMs: 4_000 };

async function start(random = 0.5): Promise<{
  h: Harness;
  port: number;
  wsUrl: string;
  stream: () => Promise<SseClient>;
  socket: () => Promise<WsClient>;
}> {
  const h = await startHarness({ deps: { random: () => random } });
  const { port, wsUrl } = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
  return {
    h,
    port,
    wsUrl,
    async stream() {
      const client = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
      await client.live();
      return client;
    },
    async socket() {
      const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') } });
      client.send({ type: 'subscribe', sessionId: 's' });
      await client.untilEvent('s', 'live');
      return client;
    },
  };
}

describe('a drain', () => {
  it('makes the node not ready and refuses new streams and prompts, but not short requests', async () => {
    const { h, port, wsUrl, stream, socket } = await start();
    await stream();
    const open = await socket();
    const ticket = String((await h.call('POST', '/v1/tickets', 'ann')).body['ticket']);
    const drained = h.gateway.drain(WINDOW);
    const ready = await h.call('GET', '/readyz');
    expect([ready.status, ready.body['status'], ready.headers['retry-after']]).toEqual([503, 'draining', '2']);
    expect((await h.call('GET', '/healthz')).status).toBe(200);
    for (const answer of [
      await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' }),
      await h.call('POST', '/v1/sessions', 'ann', {}),
      await h.call('GET', '/v1/sessions/s/events', 'ann'),
      await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}`),
    ]) {
      expect([
        answer.status,
        answer.body.error?.code,
        answer.body.error?.retryable,
        answer.headers['retry-after'],
      ]).toEqual([503, 'draining', true, '1']);
    }
    await expect(WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') } })).rejects.toMatchObject({
      status: 503,
    });
    expect(await open.ask({ type: 'send', requestId: 'r', sessionId: 's', content: 'x' })).toMatchObject({
      type: 'error',
      code: 'draining',
      retryable: true,
    });
    open.send({ type: 'subscribe', sessionId: 's' });
    expect(await open.frames.first((one) => one.type === 'error' && one['sessionId'] === 's')).toMatchObject({
      code: 'draining',
      retryable: true,
    });
    const history = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect([history.status, history.headers['connection']]).toEqual([200, 'close']);
    await h.clock.advance(WINDOW.windowMs);
    await drained;
    // The refusal has not spent the ticket: another node accepts it.
    const other = await startHarness({ broker: h.broker, clock: h.clock });
    const there = await other.listen();
    expect((await (await SseClient.open(there.port, `/v1/sessions/s/events?ticket=${ticket}`)).head).status).toBe(200);
    expect(port).not.toBe(there.port);
  });

  it('asks connections to reconnect one after the other, each at a time of its own', async () => {
    const { h, stream, socket } = await start();
    const [first, second] = [await stream(), await socket()];
    const drained = h.gateway.drain(WINDOW);
    expect(first.events.seen.at(-1)?.event).toBe('live');
    await h.clock.advance(500);
    const afterMs = RECONNECT_AFTER_MS * 1.5;
    expect((await first.events.ended()).at(-1)).toMatchObject({ event: 'reconnect', data: { afterMs } });
    expect(second.events('s').at(-1)?.event).toBe('live');
    await h.clock.advance(1_000);
    const { code, reason } = await second.closed;
    expect([code, JSON.parse(reason)]).toEqual([4503, { code: 'draining', afterMs }]);
    expect(second.events('s').at(-1)).toMatchObject({ event: 'reconnect', data: { afterMs } });
    await drained;
  });

  it('asks a socket without subscriptions as well', async () => {
    const { h, wsUrl } = await start();
    const client = await WsClient.open(wsUrl);
    const drained = h.gateway.drain(WINDOW);
    await h.clock.advance(WINDOW.windowMs);
    expect((await client.closed).code).toBe(4503);
    expect(client.frames.seen).toEqual([{ type: 'event', event: 'reconnect', data: { afterMs: 375 } }]);
    await drained;
  });

  it('spreads any number of connections over the window', async () => {
    const { h, stream } = await start(0);
    const streams = await Promise.all(Array.from({ length: 20 }, () => stream()));
    let gone = 0;
    for (const one of streams) void one.events.ended().then(() => (gone += 1));
    const drained = h.gateway.drain({ windowMs: 2_000, deadlineMs: 10_000 });
    for (const [ms, expected] of [
      [0, 1],
      [900, 10],
      [1_000, 20],
    ] as const) {
      await h.clock.advance(ms);
      while (gone < expected) await new Promise((resolve) => setImmediate(resolve));
      expect(gone).toBe(expected);
    }
    await drained;
  });

  it('cuts the remaining connections at the deadline', async () => {
    const { h, socket, stream } = await start();
    const [deaf, deafStream] = [await socket(), await stream()];
    deaf.socket.pause();
    const drained = h.gateway.drain({ windowMs: 100, deadlineMs: 200 });
    await h.clock.advance(200);
    await drained;
    deaf.socket.resume();
    // The close frame was sent before; whether it arrived depends on the network.
    expect([4503, 1006]).toContain((await deaf.closed).code);
    await deafStream.events.ended();
  });

  it('is one drain when it is called twice', async () => {
    const { h, stream } = await start();
    const one = await stream();
    const drained = h.gateway.drain(WINDOW);
    expect(h.gateway.drain({ windowMs: 0, deadlineMs: 0 })).toBe(drained);
    await h.clock.advance(500);
    expect(one.events.seen.at(-1)?.event).toBe('live');
    await h.clock.advance(WINDOW.windowMs);
    await drained;
  });

  it('ends at once when no connection is open', async () => {
    const { h } = await start();
    await h.gateway.drain(WINDOW);
    await h.gateway.drain({ windowMs: 1_000_000, deadlineMs: 1_000_000 });
    await h.gateway.app.close();
  });

  it('loses nothing: a reader continues on another node at its position', async () => {
    const { h, stream } = await start();
    const other = await startHarness({ broker: h.broker, clock: h.clock });
    const { port } = await other.listen();
    const before = await stream();
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'one' });
    await before.events.first((one) => one.event === 'run.queued');
    const drained = h.gateway.drain({ windowMs: 0, deadlineMs: 1_000 });
    await h.clock.advance(0);
    await before.events.ended();
    await other.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'two' });
    const after = await SseClient.open(port, '/v1/sessions/s/events', {
      authorization: h.bearer('ann'),
      'last-event-id': before.lastEventId ?? '',
    });
    await after.live();
    expect(
      [...before.events.seen, ...after.events.seen]
        .filter((one) => one.event === 'message.created')
        .map((one) => one.data['content']),
    ).toEqual(['one', 'two']);
    await drained;
  });
});

describe('/readyz', () => {
  it('reports the durability and that the log is healthy', async () => {
    const { h } = await start();
    expect((await h.call('GET', '/readyz')).body).toEqual({
      status: 'ready',
      broker: 'ready',
      durability: 'memory: nothing survives the process',
    });
  });

  it('stays 200 and says degraded when records are damaged', async () => {
    const { h } = await start();
    h.broker.health = () => ({
      state: 'degraded',
      durability: 'x',
      damage: { topics: 1, missingSegments: 0, damagedIndex: 0, lostParts: 0 },
    });
    const degraded = await h.call('GET', '/readyz');
    expect([degraded.status, degraded.body]).toEqual([200, { status: 'ready', broker: 'degraded', durability: 'x' }]);
  });

  it('answers 503 when the log has failed or cannot be reached, and 200 when it is full', async () => {
    const { h } = await start();
    h.broker.health = () => ({ state: 'full', durability: 'x' });
    expect((await h.call('GET', '/readyz')).status).toBe(200);
    h.broker.health = () => ({ state: 'failed', durability: 'x' });
    const failed = await h.call('GET', '/readyz');
    expect([failed.status, failed.body['status']]).toEqual([503, 'broker-failed']);
    h.broker.health = () => ({ state: 'unavailable', durability: 'x' });
    const away = await h.call('GET', '/readyz');
    expect([away.status, away.body['status'], away.headers['retry-after']]).toEqual([503, 'broker-unavailable', '2']);
  });
});
