// Holdline as it runs on many machines: real gateways, workers, nginx and Redis, and clients of both wires that
// reconnect to a random node after every cut. Each process is killed in turn, all are replaced one by one under load,
// and Redis is stopped and restarted. Afterwards the checker judges the whole history, and every answer must be exact.
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ClusterRig, type RigProcess } from '../support/cluster-rig.ts';
import { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import { readWs } from '../support/ws-reader.ts';
import { playOnCluster } from './cluster-story.ts';
import { call } from './http-call.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(60_000) });

const CUTS = 8;
const WORKER_KILLS_MAX = 10;

let rig: ClusterRig<RedisServer>;
beforeAll(async () => {
  rig = await ClusterRig.start(await RedisServer.start({ appendfsync: 'always' }));
});
afterAll(async () => {
  await rig.close();
});

/** An order that never kills two gateways or two workers in a row, so that one of each kind is left. */
function inTurn(...names: readonly string[]): readonly RigProcess[] {
  const redis: RigProcess = {
    name: 'redis',
    kill: (signal) => rig.store.kill(signal),
    restart: () => rig.store.restart(),
  };
  return names.map((name) => {
    const found = [...rig.processes, redis].find((process) => process.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  });
}

it('kill -9 of each process in turn › loses no acknowledged message and no answer', async () => {
  const { takeovers } = await playOnCluster(rig, { name: 'kills', sessions: 3 }, async (story) => {
    const strike = async (one: RigProcess): Promise<void> => {
      await story.spareTheHit();
      await story.moment();
      story.hit(`kill -9 ${one.name}`);
      await one.kill('SIGKILL');
      // Without Redis there are no events to count.
      if (one.name !== 'redis') await story.moment();
      await one.restart();
    };
    for (const one of inTurn('gateway-1', 'worker-1', 'nginx', 'gateway-2', 'redis', 'worker-2', 'gateway-3'))
      await strike(one);
    // A worker may have been killed while it had no run, so more kills follow.
    for (let more = 0; story.takeovers === 0 && more < WORKER_KILLS_MAX; more += 1) {
      for (const one of inTurn('worker-1', 'worker-2')) await strike(one);
    }
  });
  expect(takeovers).toBeGreaterThan(0);
});

it('a rolling restart of all nodes under load › is not visible to any reader', async () => {
  await playOnCluster(rig, { name: 'rolling', sessions: 3 }, async (story) => {
    for (const one of inTurn('gateway-1', 'worker-1', 'gateway-2', 'worker-2', 'gateway-3')) {
      await story.spareTheHit();
      await story.moment();
      story.hit(`SIGTERM ${one.name}`);
      expect(await one.kill('SIGTERM')).toEqual({ code: 0, signal: null });
      await one.restart();
    }
  });
});

it('connections to Redis that break repeatedly › cost no answer', async () => {
  await playOnCluster(rig, { name: 'cuts', sessions: 2 }, async (story) => {
    for (let cut = 1; cut <= CUTS; cut += 1) {
      await story.spareTheHit();
      await story.moment();
      story.hit('CLIENT KILL');
      await rig.store.command(`CLIENT KILL TYPE ${story.random.pick(['normal', 'pubsub'])}`);
    }
  });
});

it('a ticket of one gateway › opens a stream at another, once, and its cookie opens one at a third', async () => {
  const [first = '', second = '', third = ''] = rig.gateways.map(({ url }) => url);
  const path = '/v1/sessions/ticketed/events';
  await call({ method: 'POST', url: `${first}/v1/sessions`, token: rig.token, body: { sessionId: 'ticketed' } });
  const { body } = await call({
    method: 'POST',
    url: `${first}/v1/tickets`,
    token: rig.token,
    body: { sessionId: 'ticketed' },
  });
  const query = `?ticket=${String(body['ticket'])}&until=idle`;
  const opened = await fetch(`${second}${path}${query}`);
  expect(opened.status).toBe(200);
  const cookie = opened.headers.get('set-cookie')?.split(';')[0] ?? '';
  expect(await opened.text()).toContain('event: session.created');
  expect((await fetch(`${third}${path}${query}`)).status).toBe(401);
  const again = await fetch(`${third}${path}${query}`, { headers: { cookie } });
  expect([again.status, await again.text()]).toEqual([200, expect.stringContaining('event: live')]);
});

it('without Redis › no node is ready and prompts are refused as retryable; once Redis is back, everything continues', async () => {
  await playOnCluster(rig, { name: 'outage', sessions: 2 }, async (story) => {
    await story.moment();
    story.hit('kill -9 redis');
    await rig.store.kill();
    const { url } = rig.gateways[0] ?? rig.nginx;
    let ready = await call({ method: 'GET', url: `${url}/readyz` });
    while (ready.status === 200) ready = await call({ method: 'GET', url: `${url}/readyz` });
    expect(ready).toMatchObject({ status: 503, body: { status: 'broker-unavailable', broker: 'unavailable' } });
    const refused = await call({
      method: 'POST',
      url: `${url}/v1/sessions/nobody/messages`,
      token: rig.token,
      body: { content: 'count 1' },
    });
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'unavailable', retryable: true } } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    await rig.store.restart();
    while (ready.status !== 200) ready = await call({ method: 'GET', url: `${url}/readyz` });
  });
});

it('FLUSHALL › leads to a reset for every reader, on any node and wire', async () => {
  const [first = '', second = '', third = ''] = rig.gateways.map(({ url }) => url);
  const say = async (content: string) =>
    call({ method: 'POST', url: `${first}/v1/sessions/flushed/messages`, token: rig.token, body: { content } });
  expect((await say('count 3 at 1000/s')).status).toBe(202);
  const place = { token: rig.token, sessionId: 'flushed' };
  const readers = [await readSse({ ...place, url: second }), await readWs({ ...place, url: third })];
  await Promise.all(readers.map(async (reader) => reader.until(({ event }) => event === 'run.completed')));
  const before = readers[0]?.position?.split('.')[0];
  await rig.store.command('FLUSHALL');
  expect((await say('count 1')).status).toBe(202);
  for (const reader of readers) {
    expect((await reader.until(({ event }) => event === 'reset')).data).toMatchObject({ reason: 'epoch-changed' });
    const created = await reader.until(({ event, id }) => event === 'message.created' && id?.split('.')[0] !== before);
    expect(created.data['content']).toBe('count 1');
    reader.cut();
  }
});
