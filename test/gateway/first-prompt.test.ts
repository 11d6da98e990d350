// What a first prompt says about its chat, over HTTP.
import { describe, expect, it } from 'vitest';
import { chatTopic } from '../../src/session/topic-names.ts';
import { startHarness } from '../support/gateway-harness.ts';

const MESSAGES = '/v1/sessions/s/messages';

describe('a first prompt', () => {
  it('gives the chat its title, metadata and TTL, and keeps it out of the lists', async () => {
    const h = await startHarness();
    const details = { title: 'Trip', metadata: { a: 1 }, ttlMs: 120_000, isListed: false };
    expect((await h.call('POST', MESSAGES, 'ann', { content: 'x', ...details })).status).toBe(202);
    const { body } = await h.call('GET', '/v1/sessions/s', 'ann');
    expect(body).toMatchObject({ title: 'Trip', metadata: { a: 1 }, isListed: false });
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
    const headers = { authorization: h.bearer('ann', { sessions: ['s'] }) };
    const limited = await h.gateway.app.inject({ url: '/v1/sessions', headers });
    expect(limited.json()).toMatchObject({ sessions: [] });
  });

  it('is the only one that says whether the chat is listed: a change of the title says nothing of it', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    expect((await h.call('PATCH', '/v1/sessions/s', 'ann', { title: 'x', isListed: false })).status).toBe(200);
    const topic = chatTopic({ tenant: 'default', sessionId: 's' });
    const read = await h.broker.read(topic, 'earliest', {});
    expect(read.kind === 'batch' && read.items.map((item) => (item.kind === 'record' ? item.data : ''))).toEqual([
      expect.stringContaining('session.created'),
      expect.stringMatching(/^1 session\.updated \{"title":"x"\}\n/),
    ]);
  });

  it('bounds the TTL, as a request that creates a session does', async () => {
    const h = await startHarness();
    await h.call('POST', MESSAGES, 'ann', { content: 'x', ttlMs: 1 });
    expect((await h.commandLog.load({ tenant: 'default', sessionId: 's' }))?.state.ttlMs).toBe(60_000);
  });

  it.each([
    ['metadata of more than 16 KiB', { metadata: { a: 'x'.repeat(17_000) } }, 413, 'too-large'],
    ['more keys than may be', { metadata: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`${i}`, 1])) }, 400],
    ['a title that is too long', { title: 'x'.repeat(513) }, 400],
    ['a TTL that is none', { ttlMs: 0 }, 400],
    ['another value than a boolean', { isListed: 'no' }, 400],
  ])('is refused with %s, and makes no chat', async (_name, more, status, code = 'invalid-request') => {
    const h = await startHarness();
    const answer = await h.call('POST', MESSAGES, 'ann', { content: 'x', ...more });
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(404);
  });
});
