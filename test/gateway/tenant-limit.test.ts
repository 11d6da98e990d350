// The bound on what waits for one tenant. [PROTOCOL §3]
import { expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { COUNT_MS } from '../../src/session/stores/tenant-limit.ts';
import { flowOf } from '../../src/session/topic-names.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { WsClient } from '../support/gateway-ws-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

it('refuses prompts of a tenant with too many waiting chats, and nothing else', async () => {
  const clock = new ManualClock();
  let epochs = 0;
  const broker = new MemoryBroker({ clock, newEpoch: () => `e${(epochs += 1)}`, flowOf });
  const h = await startHarness({ broker, clock, config: { waitingMaxOf: (tenant) => (tenant === 'acme' ? 2 : 100) } });
  const rig = new ChatRig({ broker, clock });
  onTestFinished(() => rig.close());
  rig.startWorker(1);
  const { wsUrl } = await h.listen();
  const authorization = h.bearer('ann', { tenant: 'acme' });
  const socket = await WsClient.open(wsUrl, { headers: { authorization } });
  const post = (sessionId: string, body: object = {}, as = authorization): ReturnType<typeof h.call> =>
    h.call('POST', `/v1/sessions/${sessionId}/messages`, as, { content: 'x', ...body });

  const first = await post('running', { messageId: 'm0' });
  const running = await rig.model.call(0);
  for (const id of ['a', 'b']) expect((await post(id, { messageId: `m-${id}` })).status).toBe(202);
  const error = {
    code: 'too-many-waiting',
    retryable: true,
    message: expect.stringContaining('wait for a worker') as unknown,
    details: { quota: 'waiting', limit: 2, used: 2 },
  };
  const refused = await post('c');
  expect(refused).toMatchObject({ status: 429, body: { error }, headers: { 'retry-after': '5' } });
  const overSocket = await socket.ask({ type: 'send', requestId: 'r', sessionId: 'c', content: 'x' });
  expect(overSocket).toMatchObject({ type: 'error', ...error, retryAfterMs: 5000 });
  expect((await h.call('GET', '/v1/sessions/c', authorization)).status).toBe(404);

  // A retry, what replaces a run, other tenants, and what ends or removes are not refused.
  expect((await post('running', { messageId: 'm0' })).body['runId']).toBe(first.body['runId']);
  expect((await post('a', { onBusy: 'interrupt' })).status).toBe(202);
  expect((await post('c', {}, h.bearer('ann', { tenant: 'other' }))).status).toBe(202);
  expect((await h.call('POST', '/v1/sessions/b/cancel', authorization, {})).status).toBe(202);
  expect((await h.call('DELETE', '/v1/sessions/b', authorization)).status).toBe(204);
  expect((await post('c')).status).toBe(429);
  running.say('x').finish();
  (await rig.model.call(1)).say('x').finish();
  await rig.model.call(2);
  await clock.advance(COUNT_MS);
  // The withdrawn run of `b` is over, and `a` is under way.
  expect([(await post('d')).status, (await post('e')).status, (await post('f')).status]).toEqual([202, 202, 429]);
});
