// More readers catch up than a node accepts: it refuses further readers with a time to wait, and accepts them once
// there is room.
import { expect, it } from 'vitest';
import type { ReadResult } from '../../src/broker/broker.ts';
import { SUBSCRIPTIONS_PER_SOCKET_MAX } from '../../src/gateway/gateway-config.ts';
import {
  CATCH_UPS_MAX,
  CATCH_UPS_WAITING_MAX,
  CATCH_UPS_WAITING_PER_USER_MAX,
} from '../../src/stream/catch-up-gate.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

/** Forward reads of a chat, which streams make, never resolve. */
function holdUpReaders(h: Harness): void {
  const read = h.broker.read.bind(h.broker);
  h.broker.read = (topic, from, options) =>
    options?.direction === 'backward' ? read(topic, from, options) : new Promise<ReadResult>(() => undefined);
}

async function createAll(h: Harness, user: string): Promise<void> {
  for (let i = 0; i < SUBSCRIPTIONS_PER_SOCKET_MAX; i++)
    await h.call('POST', '/v1/sessions', user, { sessionId: `${user}-${i}` });
}

async function subscribeToAll(h: Harness, wsUrl: string, user: string): Promise<WsClient> {
  const socket = await WsClient.open(wsUrl, { headers: { authorization: h.bearer(user) } });
  for (let i = 0; i < SUBSCRIPTIONS_PER_SOCKET_MAX; i++) socket.send({ type: 'subscribe', sessionId: `${user}-${i}` });
  await socket.frames.until(() => socket.frames.seen.length >= SUBSCRIPTIONS_PER_SOCKET_MAX);
  return socket;
}

it('a node full of readers that catch up refuses another one until some have left', async () => {
  const h = await startHarness({ config: { framesPerSecond: 100_000, framesBurst: 100_000 } });
  const { port, wsUrl } = await h.listen();
  for (const user of ['ann', 'bob', 'cid', 'dan']) await createAll(h, user);
  holdUpReaders(h);
  const sockets: WsClient[] = [];
  for (let readers = 0; readers < CATCH_UPS_MAX + CATCH_UPS_WAITING_MAX; readers += SUBSCRIPTIONS_PER_SOCKET_MAX) {
    sockets.push(await subscribeToAll(h, wsUrl, ['ann', 'bob', 'dan'][sockets.length % 3] ?? ''));
  }

  const refused = await h.call('GET', '/v1/sessions/cid-0/events', 'cid');
  expect(refused).toMatchObject({
    status: 503,
    body: { error: { code: 'node-full', retryable: true } },
    headers: { 'retry-after': '3' },
  });

  sockets.at(-1)?.socket.terminate();
  await eventually(async () => {
    const later = await SseClient.open(port, '/v1/sessions/cid-0/events', { authorization: h.bearer('cid') });
    return (await later.head).status === 200;
  });
});

it('a user at the limit of readers that catch up is refused another one, and other users are not', async () => {
  const h = await startHarness({
    config: { framesPerSecond: 100_000, framesBurst: 100_000, subscriptionsPerUserMax: 100_000 },
  });
  const { port, wsUrl } = await h.listen();
  for (const user of ['ann', 'bob']) await createAll(h, user);
  holdUpReaders(h);
  for (
    let readers = 0;
    readers < CATCH_UPS_MAX + CATCH_UPS_WAITING_PER_USER_MAX;
    readers += SUBSCRIPTIONS_PER_SOCKET_MAX
  )
    await subscribeToAll(h, wsUrl, 'ann');

  const refused = await h.call('GET', '/v1/sessions/ann-0/events', 'ann');
  expect(refused).toMatchObject({
    status: 429,
    body: { error: { code: 'too-many', retryable: true } },
    headers: { 'retry-after': '3' },
  });
  const other = await SseClient.open(port, '/v1/sessions/bob-0/events', { authorization: h.bearer('bob') });
  expect((await other.head).status).toBe(200);
});
