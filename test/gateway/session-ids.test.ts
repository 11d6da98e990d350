// The scopes of session ids: what another user of the tenant can take, learn or read by an id, and what a removed or
// expired session leaves to the next owner of its id.
import { describe, expect, it } from 'vitest';
import { parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { SESSION_ID_SCOPES, type SessionIdScope } from '../../src/gateway/gateway-config.ts';
import { CURSORS_PER_CHAT_MAX } from '../../src/session/stores/cursors.ts';
import { SESSION_TTL_MIN_MS } from '../../src/session/sessions.ts';
import { earlierCursorTopic } from '../../src/session/topic-names.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

const started = (sessionIds: SessionIdScope): Promise<Harness> => startHarness({ config: { sessionIds } });

/** A gateway on the same storage with another configuration. */
const reconfigured = (h: Harness, sessionIds: SessionIdScope): Promise<Harness> =>
  startHarness({ broker: h.broker, clock: h.clock, config: { sessionIds } });

const make = (h: Harness, as: string, sessionId: string, more = {}): ReturnType<Harness['call']> =>
  h.call('POST', '/v1/sessions', as, { sessionId, ...more });
const told = ({ status, text }: Awaited<ReturnType<Harness['call']>>): unknown => [status, text];
const idsOf = async (h: Harness, as: string): Promise<unknown> =>
  ((await h.call('GET', '/v1/sessions', as)).body['sessions'] as { sessionId: string }[]).map((one) => one.sessionId);

describe('ids of the scope user', () => {
  it('are separate for each user, and do not reveal that another user has the id', async () => {
    const h = await started('user');
    expect((await make(h, 'bob', 'home', { title: 'bob’s' })).status).toBe(201);
    expect((await h.call('GET', '/v1/sessions/home', 'ann')).body.error?.code).toBe('not-found');
    expect((await make(h, 'ann', 'home', { title: 'ann’s' })).status).toBe(201);
    expect((await h.call('POST', '/v1/sessions/home/messages', 'ann', { content: 'ann says' })).status).toBe(202);
    expect((await h.call('GET', '/v1/sessions/home/messages', 'bob')).text).not.toContain('ann says');
    for (const user of ['ann', 'bob']) {
      expect((await h.call('GET', '/v1/sessions/home', user)).body).toMatchObject({
        sessionId: 'home',
        title: `${user}’s`,
      });
      expect(await idsOf(h, user)).toEqual(['home']);
    }
  });

  it('come back unchanged in the list, on streams and on sockets', async () => {
    const h = await started('user');
    const { port, wsUrl } = await h.listen();
    const made = String((await h.call('POST', '/v1/sessions', 'ann', {})).body['sessionId']);
    expect(made).toMatch(/^[A-Za-z0-9_-]{22}$/);
    await make(h, 'ann', 'mine');
    expect(new Set((await idsOf(h, 'ann')) as string[])).toEqual(new Set([made, 'mine']));
    const stream = await SseClient.open(port, '/v1/sessions/mine/events', { authorization: h.bearer('ann') });
    await stream.live();
    const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann', { sessions: ['mine'] }) } });
    client.send({ type: 'subscribe', sessionId: 'mine' });
    await client.untilEvent('mine', 'live');
    expect(await client.ask({ type: 'send', requestId: '1', sessionId: 'mine', content: 'x' })).toMatchObject({
      type: 'ok',
    });
    expect(
      (await h.call('GET', '/v1/sessions', h.bearer('ann', { sessions: ['mine'] }))).body['sessions'],
    ).toMatchObject([{ sessionId: 'mine', messages: 1 }]);
  });

  it.each(['default:x:mine', 'x:mine', ':mine', 'mine.1.x'])(
    'cannot reach the topic names of the storage: %s',
    async (id) => {
      const h = await started('user');
      expect((await make(h, 'ann', id)).status).toBe(400);
      expect((await h.call('GET', `/v1/sessions/${id}`, 'ann')).status).toBe(404);
      expect((await h.call('POST', `/v1/sessions/${id}/messages`, 'ann', { content: 'x' })).status).toBe(404);
    },
  );

  it('leave older sessions to their owners, who read, write and remove them', async () => {
    const before = await started('tenant');
    await make(before, 'ann', 'old', { title: 'of before' });
    const { position } = (
      await before.call('POST', '/v1/sessions/old/messages', 'ann', { messageId: 'm', content: 'kept' })
    ).body;
    await before.call('PUT', '/v1/sessions/old/cursors/c', 'ann', { position });
    const h = await reconfigured(before, 'user');
    const { port } = await h.listen();
    expect((await make(h, 'bob', 'old')).status).toBe(201);
    expect((await h.call('GET', '/v1/sessions/old/messages', 'bob')).body['messages']).toEqual([]);
    expect((await h.call('GET', '/v1/sessions/old', 'ann')).body['title']).toBe('of before');
    expect((await h.call('GET', '/v1/sessions/old/cursors/c', 'ann')).body).toEqual({ position });
    expect((await make(h, 'ann', 'old')).status).toBe(200);
    expect(
      (await h.call('POST', '/v1/sessions/old/messages', 'ann', { messageId: 'm', content: 'kept' })).body['position'],
    ).toBe(position);
    expect((await h.call('DELETE', '/v1/sessions/old', 'ann')).status).toBe(204);
    const stream = await SseClient.open(port, `/v1/sessions/old/events?after=${String(position)}`, {
      authorization: h.bearer('ann'),
    });
    expect((await stream.events.ended()).map(({ event }) => event)).toEqual(['reset']);
    expect((await make(h, 'ann', 'old')).status).toBe(201);
    expect((await h.call('GET', '/v1/sessions/old/messages', 'ann')).body['messages']).toEqual([]);
  });
});

describe('ids of the scope claimed', () => {
  const CLAIMS = { sessionPrefix: 'ann-' };

  it('answer a token that does not name the id the same, whether or not the id is taken', async () => {
    const h = await started('claimed');
    const { wsUrl } = await h.listen();
    await make(h, h.bearer('ann', CLAIMS), 'ann-home');
    const bob = h.bearer('bob', { sessionPrefix: 'bob-' });
    const client = await WsClient.open(wsUrl, { headers: { authorization: bob } });
    for (const [taken, free] of [
      ['ann-home', 'ann-away'],
      ['ann-home', 'bobs'],
    ]) {
      for (const as of ['bob', bob]) {
        const [one, other] = [await make(h, as, taken ?? ''), await make(h, as, free ?? '')];
        expect([one.status, told(one)]).toEqual([403, told(other)]);
        const [sent, sentOther] = [
          await h.call('POST', `/v1/sessions/${taken}/messages`, as, { content: 'x' }),
          await h.call('POST', `/v1/sessions/${free}/messages`, as, { content: 'x' }),
        ];
        expect([sent.status, told(sent)]).toEqual([403, told(sentOther)]);
      }
      const frame = { type: 'send', requestId: 'r', content: 'x' };
      expect(await client.ask({ ...frame, sessionId: taken })).toMatchObject({ type: 'error', code: 'forbidden' });
    }
    expect(await idsOf(h, bob)).toEqual([]);
  });

  it('stay with their users after the session is removed', async () => {
    const h = await started('claimed');
    const ann = h.bearer('ann', CLAIMS);
    await make(h, ann, 'ann-home');
    await h.call('DELETE', '/v1/sessions/ann-home', ann);
    expect((await make(h, 'bob', 'ann-home')).status).toBe(403);
    expect((await make(h, ann, 'ann-home')).status).toBe(201);
  });

  it('are the ids with the token’s prefix, the ids that it lists, and the ids that the server makes', async () => {
    const h = await started('claimed');
    const { wsUrl } = await h.listen();
    expect((await make(h, h.bearer('ann', CLAIMS), 'ann-1')).status).toBe(201);
    expect((await make(h, h.bearer('ann', { sessions: ['listed'] }), 'listed')).status).toBe(201);
    expect((await h.call('POST', '/v1/sessions', 'ann', {})).status).toBe(201);
    const ticket = String(
      (await h.call('POST', '/v1/tickets', h.bearer('ann', CLAIMS), { purpose: 'socket', scope: 'chat' })).body[
        'ticket'
      ],
    );
    const client = await WsClient.open(`${wsUrl}?ticket=${ticket}`);
    expect(await client.ask({ type: 'send', requestId: '1', sessionId: 'ann-2', content: 'x' })).toMatchObject({
      type: 'ok',
    });
    expect(await client.ask({ type: 'send', requestId: '2', sessionId: 'anna', content: 'x' })).toMatchObject({
      type: 'error',
      code: 'forbidden',
    });
  });

  it('are not needed for an existing session: its owner continues with any token', async () => {
    const before = await started('tenant');
    await make(before, 'ann', 'old');
    const h = await reconfigured(before, 'claimed');
    expect((await make(h, 'ann', 'old')).status).toBe(200);
    expect((await h.call('POST', '/v1/sessions/old/messages', 'ann', { content: 'x' })).status).toBe(202);
    expect((await make(h, 'bob', 'old')).status).toBe(403);
  });

  it.each([1, '', 'a b', 'a:', ['ann-'], 'x'.repeat(129)])(
    'refuse a token whose prefix is %j',
    async (sessionPrefix) => {
      const h = await started('claimed');
      expect((await h.call('GET', '/v1/sessions', h.bearer('ann', { sessionPrefix }))).status).toBe(401);
    },
  );
});

describe('the cursors of a session', () => {
  const stored = async (h: Harness): Promise<number> =>
    (await h.broker.list(parseTopicPattern('cursors/*'), { limit: 10 })).topics.length +
    (await h.broker.list(parseTopicPattern('cursor/*/*'), { limit: 10 })).topics.length;
  const cursor = (h: Harness, as: string, id = 'c'): ReturnType<Harness['call']> =>
    h.call('GET', `/v1/sessions/s/cursors/${id}`, as);

  async function withCursor(h: Harness, ...ids: readonly string[]): Promise<void> {
    await make(h, 'ann', 's', { ttlMs: SESSION_TTL_MIN_MS });
    for (const id of ids)
      expect((await h.call('PUT', `/v1/sessions/s/cursors/${id}`, 'ann', { position: 'latest' })).status).toBe(204);
  }

  it.each(SESSION_ID_SCOPES)('are removed with it (ids: %s)', async (scope) => {
    const h = await started(scope);
    await make(h, h.bearer('ann', { sessionPrefix: 's' }), 's');
    await withCursor(h, 'c', 'd');
    await h.call('DELETE', '/v1/sessions/s', 'ann');
    expect(await stored(h)).toBe(0);
    expect((await make(h, h.bearer('bob', { sessionPrefix: 's' }), 's')).status).toBe(201);
    expect([(await cursor(h, 'bob')).status, (await cursor(h, 'bob', 'd')).status]).toEqual([404, 404]);
  });

  it('are removed with it when an earlier removal failed half-way', async () => {
    const h = await started('user');
    await withCursor(h, 'c');
    const remove = h.broker.remove.bind(h.broker);
    h.broker.remove = async (topic) =>
      topic.startsWith('cursors/') ? Promise.reject(new Error('broken')) : remove(topic);
    expect((await h.call('DELETE', '/v1/sessions/s', 'ann')).status).toBe(500);
    h.broker.remove = remove;
    expect((await h.call('DELETE', '/v1/sessions/s', 'ann')).status).toBe(404);
    expect(await stored(h)).toBe(0);
  });

  it('are not the next owner’s after the session has expired, nor a start for its streams', async () => {
    const h = await started('tenant');
    const { port } = await h.listen();
    await withCursor(h, 'c');
    await h.clock.advance(SESSION_TTL_MIN_MS + 1);
    expect((await make(h, 'bob', 's')).status).toBe(201);
    expect((await cursor(h, 'bob')).body.error?.code).toBe('cursor-not-found');
    const stream = await SseClient.open(port, '/v1/sessions/s/events?cursor=c', { authorization: h.bearer('bob') });
    await stream.live();
    expect(stream.events.seen.map(({ event }) => event)).toEqual(['session.created', 'live']);
    expect((await h.call('PUT', '/v1/sessions/s/cursors/c', 'bob', { position: 'latest' })).status).toBe(204);
  });

  it('of an earlier version are not the next owner’s either', async () => {
    const h = await started('tenant');
    await make(h, 'ann', 's');
    const position = String((await h.call('GET', '/v1/sessions/s', 'ann')).body['position']);
    const topic = earlierCursorTopic({ tenant: 'default', sessionId: 's' }, 'c');
    await h.broker.append([
      { topic, records: [{ major: false, data: position }], expect: { create: true }, ttlMs: 90 * 86_400_000 },
    ]);
    expect((await cursor(h, 'ann')).body).toEqual({ position });
    await h.call('DELETE', '/v1/sessions/s', 'ann');
    await make(h, 'bob', 's');
    expect((await cursor(h, 'bob')).body.error?.code).toBe('cursor-not-found');
  });

  it('are kept up to a number; the one unchanged for the longest time is dropped first', async () => {
    const h = await started('user');
    await withCursor(h, 'first', 'second', ...Array.from({ length: CURSORS_PER_CHAT_MAX - 2 }, (_, i) => `c${i}`));
    for (let i = 0; i < 100; i += 1) await withCursor(h, 'first', 'c0');
    await withCursor(h, 'another');
    expect((await cursor(h, 'ann', 'second')).status).toBe(404);
    for (const id of ['first', 'c0', 'c1', 'another']) expect((await cursor(h, 'ann', id)).status).toBe(200);
    const [topic] = (await h.broker.list(parseTopicPattern('cursors/*'), { limit: 10 })).topics;
    expect(topic?.bytes).toBeLessThan(CURSORS_PER_CHAT_MAX * 150);
  });
});
