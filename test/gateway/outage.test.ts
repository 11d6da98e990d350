// A log that cannot be reached for a while: an open stream keeps its connection, waits, and continues afterwards. The
// gateway refuses a new reader with a time to wait. No log line calls the outage a defect.
import { expect, it } from 'vitest';
import { BrokerError, type BrokerErrorCode } from '../../src/broker/errors.ts';
import { OUTAGE_RETRY_MS } from '../../src/gateway/event-streams.ts';
import { OUTAGE_PATIENCE_MS, OUTAGE_WINDOW_MS } from '../../src/gateway/watch/outage-watch.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

const PINO_ERROR = 50;

/** Reads fail until the outage is over; `asked` counts them. */
function cutOff(h: Harness, code: BrokerErrorCode = 'unavailable'): { asked: number; over: () => void } {
  // Deleting the own property restores the method of the class.
  const outage = { asked: 0, over: () => void Reflect.deleteProperty(h.broker, 'read') };
  h.broker.read = async () => {
    outage.asked += 1;
    throw new BrokerError(code, 'nobody there');
  };
  return outage;
}

const RETRYABLE: BrokerErrorCode[] = ['unavailable', 'overloaded', 'disk-full'];

it.each(RETRYABLE)('streams of both wires wait while reads fail with %s, and then receive everything', async (code) => {
  const h = await startHarness();
  const { port, wsUrl } = await h.listen();
  await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  const outage = cutOff(h, code);
  const authorization = h.bearer('ann');
  const sse = await SseClient.open(port, '/v1/sessions/s/events', { authorization });
  const ws = await WsClient.open(wsUrl, { headers: { authorization } });
  ws.send({ type: 'subscribe', sessionId: 's' });
  await eventually(() => outage.asked === 2);
  await h.clock.advance(2 * OUTAGE_RETRY_MS);
  expect(outage.asked).toBeGreaterThanOrEqual(4);
  outage.over();
  await h.clock.advance(2 * OUTAGE_RETRY_MS);
  await Promise.all([sse.live(), ws.untilEvent('s', 'live')]);
  const wanted = ['message.created', 'run.queued', 'live'];
  expect(sse.events.seen.map(({ event }) => event)).toEqual(wanted);
  expect(ws.events('s').map(({ event }) => event)).toEqual(wanted);
  expect(h.logged.filter((line) => (JSON.parse(line) as { level: number }).level >= PINO_ERROR)).toEqual([]);
});

it('a stream whose reader leaves during an outage is not read again', async () => {
  const h = await startHarness();
  const { port } = await h.listen();
  await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  const outage = cutOff(h);
  const sse = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
  await eventually(() => outage.asked === 1);
  sse.close();
  await eventually(async () => (await h.call('GET', '/metrics')).text.includes('holdline_streams{wire="sse"} 0'));
  await h.clock.advance(3 * OUTAGE_RETRY_MS);
  expect(outage.asked).toBe(1);
});

it('a long outage makes the gateway ask its clients to reconnect, spread over a window, unless it ends before', async () => {
  const h = await startHarness();
  const { port } = await h.listen();
  await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  const authorization = h.bearer('ann');
  const streams = await Promise.all(
    [1, 2].map(async () => SseClient.open(port, '/v1/sessions/s/events', { authorization })),
  );
  await Promise.all(streams.map(async (stream) => stream.live()));
  const sentAway = (): number =>
    streams.filter(({ events }) => events.seen.some(({ event }) => event === 'reconnect')).length;
  h.broker.health = () => ({ state: 'unavailable', durability: 'x' });
  await h.clock.advance(OUTAGE_PATIENCE_MS - 1_000);
  h.broker.health = () => ({ state: 'ready', durability: 'x' });
  await h.clock.advance(OUTAGE_PATIENCE_MS);
  h.broker.health = () => ({ state: 'unavailable', durability: 'x' });
  await h.clock.advance(OUTAGE_PATIENCE_MS);
  expect(sentAway()).toBe(0);
  await h.clock.advance(1_000 + OUTAGE_WINDOW_MS / 2);
  await eventually(() => sentAway() === 1);
  // The storage is back before the second request to reconnect is due.
  h.broker.health = () => ({ state: 'ready', durability: 'x' });
  await h.clock.advance(OUTAGE_WINDOW_MS);
  expect(sentAway()).toBe(1);
});

it('a request during an outage is refused with a time to wait', async () => {
  const h = await startHarness();
  h.broker.append = async () => {
    throw new BrokerError('unavailable', 'nobody there');
  };
  const answer = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  expect(answer).toMatchObject({
    status: 503,
    body: { error: { code: 'unavailable', retryable: true } },
    headers: { 'retry-after': '2' },
  });
});
