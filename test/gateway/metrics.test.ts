// What /metrics counts, and that no caller can make it grow. [PROTOCOL §3]
import { expect, it, onTestFinished } from 'vitest';
import { BrokerError } from '../../src/broker/errors.ts';
import { countWaitingRuns } from '../../src/session/waiting-runs.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { METRICS } from '../../src/gateway/metrics.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

async function read(h: Harness): Promise<ReadonlyMap<string, number>> {
  const { text } = await h.call('GET', '/metrics');
  return new Map(
    [...text.matchAll(/^(holdline_[^ ]+) (.+)$/gm)].map(([, name = '', value = '']): [string, number] => [
      name,
      Number(value),
    ]),
  );
}

function damagedBroker(): MemoryBroker {
  const broker = new MemoryBroker({ clock: new ManualClock(), newEpoch: () => 'e' });
  broker.health = () => ({
    state: 'degraded',
    durability: 'x',
    damage: { topics: 3, missingSegments: 1, damagedIndex: 1, lostParts: 2 },
  });
  return broker;
}

it('counts streams, their events, and how they began', async () => {
  const h = await startHarness({ deps: { metrics: { worker: () => ({ active: 7, max: 9 }) } } });
  const { port, wsUrl } = await h.listen();
  const { body } = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  const authorization = h.bearer('ann');
  const plain = await SseClient.open(port, '/v1/sessions/s/events', { authorization });
  const resumed = await SseClient.open(port, `/v1/sessions/s/events?after=${String(body['position'])}`, {
    authorization,
  });
  const reset = await SseClient.open(port, '/v1/sessions/s/events?after=other.0', { authorization });
  const client = await WsClient.open(wsUrl, { headers: { authorization } });
  client.send({ type: 'subscribe', sessionId: 's' });
  await Promise.all([plain.live(), resumed.live(), reset.live(), client.untilEvent('s', 'live')]);
  const run = await FakeRun.take(h, 's', String(body['runId']));
  await run.say('a', 'b');
  await run.complete();
  await client.untilEvent('s', 'run.completed');
  h.gateway.metrics.countRun('run.completed');
  const seen = await read(h);
  expect(Object.fromEntries(seen)).toMatchObject({
    'holdline_streams{wire="sse"}': 3,
    'holdline_streams{wire="ws"}': 1,
    'holdline_resumes_total{wire="sse"}': 2,
    'holdline_resumes_total{wire="ws"}': 0,
    'holdline_resets_total{reason="epoch-changed"}': 1,
    'holdline_runs_total{outcome="run.completed"}': 1,
    holdline_active_runs: 7,
    holdline_runs_max: 9,
    'holdline_http_requests_total{route="/v1/sessions/:sessionId/events",status="2xx"}': 3,
    'holdline_http_requests_total{route="/v1/sessions/:sessionId/messages",status="2xx"}': 1,
  });
  // Four readers, each of which receives the start, two deltas and the end.
  expect(seen.get('holdline_delivered_events_total')).toBe(4 * 4);
  expect((await read(h)).get('holdline_resumes_total{wire="sse"}')).toBe(2);
  plain.close();
  while ((await read(h)).get('holdline_streams{wire="sse"}') !== 2)
    await new Promise((resolve) => setImmediate(resolve));
});

it('counts the damage of a storage that keeps files, and leaves it out for another', async () => {
  const seen = await read(await startHarness({ broker: damagedBroker() }));
  expect(
    ['damaged_topics', 'missing_segments', 'damaged_index', 'lost_log_parts'].map((name) =>
      seen.get(`holdline_${name}`),
    ),
  ).toEqual([3, 1, 1, 2]);
  expect((await read(await startHarness())).has('holdline_damaged_topics')).toBe(false);
});

it('has no label that a caller could invent', async () => {
  const h = await startHarness();
  for (let i = 0; i < 50; i += 1) {
    await h.call('GET', `/nothing-${i}`, 'ann');
    await h.call('GET', `/v1/sessions/none-${i}?x=${i}`, `user-${i}`);
    await h.call('GET', `/v1/sessions/%${i}`, 'ann');
  }
  const routes = [...(await read(h)).keys()].filter((name) => name.startsWith('holdline_http_requests_total'));
  expect(routes.length).toBeLessThan(6);
});

it('has a name and a help text for every metric', async () => {
  const h = await startHarness({
    broker: damagedBroker(),
    deps: {
      metrics: {
        worker: () => ({ active: 0, max: 1, credits: new Map([['poet', 3]]) }),
        waitingRuns: () => Promise.resolve(new Map()),
      },
    },
  });
  const { text, headers } = await h.call('GET', '/metrics');
  expect(headers['content-type']).toContain('text/plain');
  for (const [name, help] of Object.values(METRICS)) expect(text).toContain(`# HELP ${name} ${help}`);
  expect(text).toContain('process_cpu_user_seconds_total');
});

it('shows how long runs waited and what they got, by agent and priority, with a bound on agents', async () => {
  const h = await startHarness();
  const { metrics } = h.gateway;
  metrics.onRunEnded({ agent: 'poet', priority: 'high' }, { waitedMs: 40 }, 1, 7);
  metrics.onRunEnded({ agent: 'poet', priority: 'high' }, { waitedMs: 60 }, 1, 5);
  metrics.onRunEnded({ agent: 'poet', priority: 'low' }, {}, 0, 0);
  for (let i = 0; i < 100; i++)
    metrics.onRunEnded({ agent: `made-up-${i}`, priority: 'normal' }, { waitedMs: 1 }, 1, 1);
  const seen = await read(h);
  expect(Object.fromEntries(seen)).toMatchObject({
    'holdline_run_waited_ms_sum{agent="poet",priority="high"}': 100,
    'holdline_run_waited_ms_count{agent="poet",priority="high"}': 2,
    'holdline_served_tokens_total{agent="poet",priority="high"}': 12,
    'holdline_served_tokens_total{agent="poet",priority="low"}': 0,
    'holdline_served_tokens_total{agent="other",priority="normal"}': 37,
    'holdline_run_waited_ms_count{agent="other",priority="normal"}': 37,
  });
  expect([...seen.keys()].filter((name) => name.startsWith('holdline_served_tokens'))).toHaveLength(66);
});

it('shows how many runs wait by agent and priority, and the other metrics while that is not known', async () => {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const h = await startHarness({
    broker,
    clock,
    deps: { metrics: { waitingRuns: () => countWaitingRuns(broker, ['poet', 'coder']) } },
  });
  const rig = new ChatRig({ broker, clock, agent: { name: 'poet' } });
  onTestFinished(() => rig.close());
  rig.startWorker(1);
  const send = (sessionId: string, body: object = {}): ReturnType<typeof h.call> =>
    h.call('POST', `/v1/sessions/${sessionId}/messages`, 'ann', { content: 'x', agent: 'poet', ...body });
  await send('a');
  await rig.model.call(0);
  await send('b');
  await send('b');
  await send('c', { priority: 'low' });
  const waiting = async (): Promise<Record<string, number>> =>
    Object.fromEntries([...(await read(h))].filter(([name]) => name.startsWith('holdline_waiting_runs')));
  const name = (agent: string, priority: string): string =>
    `holdline_waiting_runs{agent="${agent}",priority="${priority}"}`;
  expect(await waiting()).toEqual({
    [name('poet', 'high')]: 0,
    [name('poet', 'normal')]: 1,
    [name('poet', 'low')]: 1,
    [name('coder', 'high')]: 0,
    [name('coder', 'normal')]: 0,
    [name('coder', 'low')]: 0,
  });
  broker.countWaiting = () => Promise.reject(new BrokerError('unavailable', 'away'));
  expect(await waiting()).toEqual({});
  expect((await read(h)).get('holdline_paused')).toBe(0);
});
