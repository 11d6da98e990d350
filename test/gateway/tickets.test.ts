// Tickets: good once, for a short time, on any node, and never for more than the buyer had; and the cookie with which a
// native EventSource reconnects. [PROTOCOL §2]
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { ticketTopic } from '../../src/session/topic-names.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

type Order = { readonly sessionId?: string; readonly purpose?: 'stream' | 'socket'; readonly scope?: 'read' | 'chat' };

async function buy(h: Harness, as: string, sessionId?: string, order: Order = {}): Promise<string> {
  const answer = await h.call('POST', '/v1/tickets', as, sessionId === undefined ? order : { sessionId, ...order });
  expect(answer.status, answer.text).toBe(201);
  return String(answer.body['ticket']);
}

async function withSession(options: Parameters<typeof startHarness>[0] = {}): Promise<Harness> {
  const h = await startHarness(options);
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 't' });
  return h;
}

describe('a ticket', () => {
  it('is good for half a minute, and has its expiry', async () => {
    const h = await withSession();
    const { body } = await h.call('POST', '/v1/tickets', 'ann');
    expect(body['ticket']).toMatch(/^[A-Za-z0-9_-]{22,}$/);
    expect(Date.parse(String(body['expiresAt'])) - h.clock.now()).toBe(30_000);
  });

  it('never outlives its buyer’s token', async () => {
    const h = await withSession();
    const { body } = await h.call('POST', '/v1/tickets', h.bearer('ann', { exp: h.clock.now() / 1000 + 10 }));
    expect(Date.parse(String(body['expiresAt'])) - h.clock.now()).toBe(10_000);
  });

  it('opens only one stream when several requests use it at once', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const ticket = await buy(h, 'ann');
    const heads = await Promise.all(
      Array.from(
        { length: 5 },
        async () => (await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`)).head,
      ),
    );
    expect(heads.map((head) => head.status).sort()).toEqual([200, 401, 401, 401, 401]);
  });

  it('works on another node, once for both nodes together', async () => {
    const h = await withSession();
    const other = await startHarness({ broker: h.broker, clock: h.clock });
    const [here, there] = [await h.listen(), await other.listen()];
    const ticket = await buy(h, 'ann');
    expect((await (await SseClient.open(there.port, `/v1/sessions/s/events?ticket=${ticket}`)).head).status).toBe(200);
    expect((await (await SseClient.open(here.port, `/v1/sessions/s/events?ticket=${ticket}`)).head).status).toBe(401);
  });

  it('opens a socket, once', async () => {
    const h = await withSession();
    const { wsUrl } = await h.listen();
    const ticket = await buy(h, 'ann', undefined, { purpose: 'socket' });
    const client = await WsClient.open(`${wsUrl}?ticket=${ticket}`);
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
    await expect(WsClient.open(`${wsUrl}?ticket=${ticket}`)).rejects.toMatchObject({ status: 401 });
  });

  it('is refused after its expiry', async () => {
    const h = await withSession();
    const ticket = await buy(h, 'ann');
    await h.clock.advance(30_000);
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}`)).status).toBe(401);
  });

  it('leaves no topic after its expiry, and is refused when only the wall clock has passed it', async () => {
    const h = await withSession();
    const stored = async (): Promise<number> =>
      (await h.broker.list(parseTopicPattern('ticket/*'), { limit: 10 })).topics.length;
    const ticket = await buy(h, 'ann');
    h.clock.jumpWall(30_000);
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}`)).status).toBe(401);
    await buy(h, 'ann');
    expect(await stored()).toBe(1);
    await h.clock.advance(30_000);
    expect(await stored()).toBe(0);
  });

  it('for one session opens no other', async () => {
    const h = await withSession();
    const ticket = await buy(h, 'ann', 's');
    const answer = await h.call('GET', `/v1/sessions/t/events?ticket=${ticket}`);
    expect([answer.status, answer.body.error?.code]).toEqual([404, 'not-found']);
  });

  it('is not issued for a missing session or another user’s', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'bob', { sessionId: 'his' });
    for (const sessionId of ['nowhere', 'his']) {
      const { status, body } = await h.call('POST', '/v1/tickets', 'ann', { sessionId });
      expect([status, body.error?.code]).toEqual([404, 'not-found']);
    }
  });

  it('names the purposes when one is wrong', async () => {
    const h = await startHarness();
    const { status, body } = await h.call('POST', '/v1/tickets', 'ann', { purpose: 'both' });
    expect(status).toBe(400);
    expect(JSON.stringify(body.error?.details)).toContain('"must be \\"stream\\""');
  });

  it('has its buyer’s limits', async () => {
    const h = await withSession();
    const ticket = await buy(h, h.bearer('ann', { sessions: ['t'] }));
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}`)).status).toBe(404);
    const stranger = await buy(h, 'bob');
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${stranger}`)).status).toBe(404);
  });

  it('is not spent on an invalid request', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const ticket = await buy(h, 'ann');
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}&until=never`)).status).toBe(400);
    expect((await (await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`)).head).status).toBe(200);
  });

  it('is no bearer token, buys no other ticket, and cannot be guessed', async () => {
    const h = await withSession();
    const ticket = await buy(h, 'ann');
    expect((await h.call('GET', '/v1/sessions', `Bearer ${ticket}`)).status).toBe(401);
    expect((await h.call('POST', `/v1/tickets?ticket=${ticket}`, undefined, {})).status).toBe(401);
    for (const guess of ['', 'x', '../x', 'a'.repeat(22), 'a'.repeat(128), '%00', `${ticket}x`]) {
      expect((await h.call('GET', `/v1/sessions/s/events?ticket=${guess}`)).status).toBe(401);
    }
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${'a'.repeat(129)}`)).status).toBe(400);
  });

  it('ends its stream when its buyer’s token expires', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const ticket = await buy(h, h.bearer('ann', { exp: h.clock.now() / 1000 + 60 }));
    const stream = await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`);
    await stream.live();
    await h.clock.advance(61_000);
    expect((await stream.events.ended()).at(-1)?.event).toBe('expired');
  });
});

/** Every frame that makes a change. */
const CHANGES = [
  { type: 'send', content: 'x' },
  { type: 'edit', messageId: 'm', content: 'x' },
  { type: 'withdraw', messageId: 'm' },
  { type: 'regenerate', messageId: 'm' },
  { type: 'select', runId: 'r' },
  { type: 'cancel' },
  { type: 'ack', cursor: 'c', position: 'latest' },
];

describe('the purpose of a ticket', () => {
  it('refuses a socket to a ticket for a stream, and leaves the ticket unspent', async () => {
    const h = await withSession();
    const { port, wsUrl } = await h.listen();
    for (const order of [{}, { purpose: 'stream' }, { purpose: 'stream', scope: 'read' }] as const) {
      const ticket = await buy(h, 'ann', 's', order);
      await expect(WsClient.open(`${wsUrl}?ticket=${ticket}`)).rejects.toMatchObject({ status: 403 });
      expect((await (await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`)).head).status).toBe(200);
    }
  });

  it('refuses a stream to a ticket for a socket, and leaves the ticket unspent', async () => {
    const h = await withSession();
    const { wsUrl } = await h.listen();
    const ticket = await buy(h, 'ann', 's', { purpose: 'socket' });
    const refused = await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}`);
    expect([refused.status, refused.body.error?.code]).toEqual([403, 'forbidden']);
    await WsClient.open(`${wsUrl}?ticket=${ticket}`);
  });

  it('lets a socket only read unless the ticket has the scope chat', async () => {
    const h = await withSession();
    const { wsUrl } = await h.listen();
    const client = await WsClient.open(`${wsUrl}?ticket=${await buy(h, 'ann', undefined, { purpose: 'socket' })}`);
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.untilEvent('s', 'live');
    for (const change of CHANGES) {
      expect(await client.ask({ ...change, requestId: change.type, sessionId: 's' })).toMatchObject({
        type: 'error',
        code: 'forbidden',
      });
    }
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body).toMatchObject({ messages: 0, queued: 0 });
    expect((await h.call('GET', '/v1/sessions/s/cursors/c', 'ann')).status).toBe(404);
  });

  it('lets a socket do what the buyer may where the ticket was bought with the scope chat', async () => {
    const h = await withSession();
    const { wsUrl } = await h.listen();
    const client = await WsClient.open(
      `${wsUrl}?ticket=${await buy(h, 'ann', 's', { purpose: 'socket', scope: 'chat' })}`,
    );
    expect(await client.ask({ type: 'send', requestId: '1', sessionId: 's', content: 'x' })).toMatchObject({
      type: 'ok',
    });
    expect(await client.ask({ type: 'send', requestId: '2', sessionId: 't', content: 'x' })).toMatchObject({
      type: 'error',
      code: 'not-found',
    });
  });

  it('ends with a token: a socket that a ticket opened for reading sends prompts once it was authenticated', async () => {
    const h = await withSession();
    const { wsUrl } = await h.listen();
    const client = await WsClient.open(`${wsUrl}?ticket=${await buy(h, 'ann', undefined, { purpose: 'socket' })}`);
    client.send({ type: 'auth', token: h.token('ann') });
    expect(await client.ask({ type: 'send', requestId: '1', sessionId: 's', content: 'x' })).toMatchObject({
      type: 'ok',
    });
  });

  it.each([
    { purpose: 'worker' },
    { scope: 'admin' },
    { scope: 'read chat' },
    { purpose: 'stream', scope: 'chat' },
    { scope: 'chat' },
  ])('refuses to sell %j', async (order) => {
    const h = await withSession();
    const answer = await h.call('POST', '/v1/tickets', 'ann', order);
    expect([answer.status, answer.body.error?.code]).toEqual([400, 'invalid-request']);
  });

  it('only reads where a node of an earlier version has sold it', async () => {
    const h = await withSession();
    const { port, wsUrl } = await h.listen();
    const ticket = 'a-ticket-of-an-earlier-version';
    const bearer = JSON.stringify({
      tenant: 'default',
      user: 'ann',
      scopes: ['chat'],
      sessions: null,
      priority: 'normal',
      expiresAt: h.clock.now() + 60_000,
    });
    const topic = ticketTopic(createHash('sha256').update(ticket).digest('base64url'));
    await h.broker.append([
      {
        topic,
        records: [{ major: true, data: JSON.stringify({ until: h.clock.now() + 30_000, bearer }) }],
        expect: { absent: true },
        ttlMs: 30_000,
      },
    ]);
    await expect(WsClient.open(`${wsUrl}?ticket=${ticket}`)).rejects.toMatchObject({ status: 403 });
    expect((await (await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`)).head).status).toBe(200);
  });
});

describe('the cookie of a redeemed ticket', () => {
  async function openWithTicket(
    h: Harness,
    port: number,
  ): Promise<{ url: string; cookie: string; attributes: readonly string[] }> {
    const url = `/v1/sessions/s/events?ticket=${await buy(h, 'ann')}`;
    const stream = await SseClient.open(port, url);
    const [cookie = '', ...attributes] = ((await stream.head).headers.get('set-cookie') ?? '').split('; ');
    return { url, cookie, attributes };
  }

  it('is limited to the stream’s path and to this site, and unseen by scripts', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const { attributes } = await openWithTicket(h, port);
    expect([...attributes].sort()).toEqual([
      'HttpOnly',
      'Max-Age=3600',
      'Path=/v1/sessions/s/events',
      'SameSite=Strict',
    ]);
  });

  it('lets the same URL, with its spent ticket, come back from where it stopped', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const { url, cookie } = await openWithTicket(h, port);
    const again = await SseClient.open(port, url, { cookie, 'last-event-id': 'e2.0' });
    await again.live();
    expect((await again.head).status).toBe(200);
    expect(again.events.seen.map((one) => one.event)).toEqual(['live']);
  });

  it('works on another node that shares the key, and not on one that does not', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const { cookie } = await openWithTicket(h, port);
    const same = await startHarness({ broker: h.broker, clock: h.clock });
    const other = await startHarness({ broker: h.broker, clock: h.clock, auth: { cookieSecret: Buffer.alloc(32, 7) } });
    expect(
      (await (await SseClient.open((await same.listen()).port, '/v1/sessions/s/events', { cookie })).head).status,
    ).toBe(200);
    expect(
      (await (await SseClient.open((await other.listen()).port, '/v1/sessions/s/events', { cookie })).head).status,
    ).toBe(401);
  });

  it('opens no other session, no other route and no socket', async () => {
    const h = await withSession();
    const { port, wsUrl } = await h.listen();
    const { cookie } = await openWithTicket(h, port);
    const statusOf = async (url: string): Promise<number> =>
      (await h.gateway.app.inject({ url, headers: { cookie } })).statusCode;
    expect(await statusOf('/v1/sessions/t/events')).toBe(404);
    expect(await statusOf('/v1/sessions/s')).toBe(401);
    const client = await WsClient.open(wsUrl, { headers: { cookie } });
    client.send({ type: 'subscribe', sessionId: 's' });
    expect((await client.closed).code).toBe(4401);
  });

  it('cannot be changed or kept beyond the token', async () => {
    const h = await withSession();
    const { port } = await h.listen();
    const { cookie } = await openWithTicket(h, port);
    const statusOf = async (value: string): Promise<number> =>
      (await h.gateway.app.inject({ url: '/v1/sessions/s/events?after=x', headers: { cookie: value } })).statusCode;
    // 400 for the position shows that the identity was accepted.
    expect(await statusOf(cookie)).toBe(400);
    const [name = '', value = ''] = cookie.split('=');
    const [body = '', signature = ''] = value.split('.');
    const forged = Buffer.from(Buffer.from(body, 'base64url').toString().replace('ann', 'bob')).toString('base64url');
    for (const bad of [
      `${forged}.${signature}`,
      `${body}.`,
      `${body}.${signature}x`,
      `.${signature}`,
      `${body}.${signature}.x`,
      'x',
      '',
    ]) {
      expect([bad, await statusOf(`${name}=${bad}`)]).toEqual([bad, 401]);
    }
    await h.clock.advance(3600_000);
    expect(await statusOf(cookie)).toBe(401);
  });

  it('goes over TLS only where the request did', async () => {
    const h = await withSession({ config: { trustedProxies: ['127.0.0.1'] } });
    const { port } = await h.listen();
    const ticket = await buy(h, 'ann');
    const stream = await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`, {
      'x-forwarded-proto': 'https',
    });
    expect((await stream.head).headers.get('set-cookie')).toContain('; Secure');
  });

  it.each([
    ['https://chat.example.com', true],
    ['http://chat.example.com', false],
  ])('goes over TLS only as the public URL %s says, whatever the proxy says', async (publicUrl, isSecure) => {
    const h = await withSession({ config: { publicUrl } });
    const { port } = await h.listen();
    const stream = await SseClient.open(port, `/v1/sessions/s/events?ticket=${await buy(h, 'ann')}`);
    expect(((await stream.head).headers.get('set-cookie') ?? '').endsWith('; Secure')).toBe(isSecure);
  });
});
