// The notice that a followed chat ends soon, from the gateway to the client, and how a user keeps it. [PROTOCOL §4]
import { expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { topicPolicies } from '../../src/broker/topic-policy.ts';
import { createChatClient } from '../../src/client/chat-client.ts';
import { chatLifetimes } from '../../src/session/chat-lifetime.ts';
import { SESSION_TTL_MIN_MS } from '../../src/session/sessions.ts';
import { EXPIRING_MS, TOUCH_SWEEP_MS } from '../../src/stream/keep-alive.ts';
import { isLive, shows } from '../client/open-client.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';

const SPAN = 600_000;
const ABSOLUTE = { mode: 'absolute', ms: SPAN, hardMax: 3 * SPAN } as const;

async function startChat(ttl: { mode: 'absolute' | 'idle'; ms: number; hardMax: number } = ABSOLUTE) {
  const policies = topicPolicies(new Map([['chat/*', { ttl }]]));
  const h = await startHarness({ config: { chatLifetimeOf: chatLifetimes(SPAN, policies) } });
  const address = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', title: 'kept' });
  const endsIn = (ms: number) => ({ expiresAt: new Date(h.clock.now() + ms).toISOString() });
  return { h, address, endsIn };
}

it('readers of a chat that ends are notified, also late ones, and again when it is kept, up to its hard maximum', async () => {
  const { h, address, endsIn } = await startChat();
  const open = async (): Promise<SseClient> => {
    const stream = await SseClient.open(address.port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    await stream.live();
    return stream;
  };
  const ends = [endsIn(SPAN), endsIn(2 * SPAN), endsIn(3 * SPAN)];
  const early = await open();
  const notices = (stream: SseClient, count: number) =>
    stream.events.until((seen) => seen.filter((one) => one.event === 'expiring').length >= count);
  await h.clock.advance(SPAN - EXPIRING_MS - 2 * TOUCH_SWEEP_MS);
  await h.clock.advance(2 * TOUCH_SWEEP_MS);
  await notices(early, 1);
  const late = await open();
  await notices(late, 1);
  const kept = await h.call('PATCH', '/v1/sessions/s', 'ann', { ttlMs: SPAN + EXPIRING_MS - 1 });
  expect(kept).toMatchObject({ status: 200, body: { title: 'kept' } });
  expect(Date.parse(String(kept.body['expiresAt'])) - h.clock.now()).toBe(SPAN + EXPIRING_MS - 1);
  await h.call('PATCH', '/v1/sessions/s', 'ann', { ttlMs: SPAN + EXPIRING_MS });
  await h.clock.advance(TOUCH_SWEEP_MS);
  await notices(early, 2);
  const { body } = await h.call('PATCH', '/v1/sessions/s', 'ann', { ttlMs: 100 * SPAN });
  expect(body['expiresAt']).toBe(ends[2]?.expiresAt);
  await h.clock.advance(TOUCH_SWEEP_MS);
  const seen = await notices(late, 3);
  expect(seen.filter((one) => one.event === 'expiring').map(({ data }) => data)).toEqual(ends);
  for (let left = 2 * SPAN + EXPIRING_MS; left > 0; left -= SPAN / 4) await h.clock.advance(Math.min(left, SPAN / 4));
  expect(await early.events.first((one) => one.event === 'reset')).toMatchObject({ data: { reason: 'expired' } });
});

it.each([
  ['the hard maximum of a chat that they keep', { mode: 'idle', ms: SPAN, hardMax: SPAN + SPAN / 2 }, SPAN + SPAN / 2],
  ['a short life', { mode: 'absolute', ms: 1.5 * EXPIRING_MS, hardMax: SPAN }, 1.5 * EXPIRING_MS],
] as const)('readers are notified of %s once, a minute before it', async (_, ttl, end) => {
  const { h, address, endsIn } = await startChat(ttl);
  const data = endsIn(end);
  const stream = await SseClient.open(address.port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
  await stream.live();
  for (let left = end; left > EXPIRING_MS; left -= TOUCH_SWEEP_MS) await h.clock.advance(TOUCH_SWEEP_MS);
  await stream.events.first((one) => one.event === 'expiring');
  await h.clock.advance(2 * TOUCH_SWEEP_MS);
  await h.call('PATCH', '/v1/sessions/s', 'ann', { title: 'still there' });
  await stream.events.first((one) => one.event === 'session.updated');
  expect(stream.events.seen.filter((one) => one.event === 'expiring').map((one) => one.data)).toEqual([data]);
});

it('a chat is kept for a minute at least', async () => {
  const { h } = await startChat({ ...ABSOLUTE, mode: 'idle' });
  const { body } = await h.call('PATCH', '/v1/sessions/s', 'ann', { ttlMs: 1 });
  expect(Date.parse(String(body['expiresAt'])) - h.clock.now()).toBe(SESSION_TTL_MIN_MS);
});

it('the client shows the end that was announced, and keeps the chat', async () => {
  const { h, address, endsIn } = await startChat();
  const client = createChatClient({ baseUrl: address.url, token: h.token('ann'), WebSocket });
  onTestFinished(() => client.close());
  const chat = client.chat('s');
  await shows(chat, isLive);
  expect(chat.snapshot()).not.toHaveProperty('expiresAt');
  const [end, later] = [endsIn(SPAN), endsIn(2 * SPAN)];
  await h.clock.advance(SPAN - EXPIRING_MS);
  expect((await shows(chat, ({ expiresAt }) => expiresAt !== undefined)).expiresAt).toBe(end.expiresAt);
  await chat.keep(SPAN + EXPIRING_MS);
  await h.clock.advance(TOUCH_SWEEP_MS);
  await shows(chat, ({ expiresAt }) => expiresAt === later.expiresAt);
});

it('readers that keep a chat themselves receive no notice', async () => {
  const h = await startHarness({ config: { chatLifetimeOf: chatLifetimes(EXPIRING_MS) } });
  const address = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
  const stream = await SseClient.open(address.port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
  await stream.live();
  for (let i = 0; i < 12; i += 1) await h.clock.advance(TOUCH_SWEEP_MS);
  await h.call('PATCH', '/v1/sessions/s', 'ann', { title: 'still there' });
  await stream.events.first((one) => one.event === 'session.updated');
  expect(stream.events.seen.filter((one) => one.event === 'expiring')).toEqual([]);
});
