// An operator pauses agents, tenants and chats over HTTP: prompts wait, runs continue, and users see it.
// [PROTOCOL §3, §4]
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { BrokerError, isBrokerError } from '../../src/broker/errors.ts';
import { PAUSED_MAX, type Paused } from '../../src/broker/flow-policy.ts';
import { flowPolicies } from '../../src/session/flow-policies.ts';
import { Pauses, PAUSES_LOOK_MS, PAUSES_RETRY_MS, TENANT_PAUSED_MAX } from '../../src/session/stores/pauses.ts';
import { flowOf, pausesTopic } from '../../src/session/topic-names.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually } from '../support/wait-for.ts';

interface System {
  readonly h: Harness;
  readonly rig: ChatRig;
  readonly port: number;
}

function makeBroker(clock: ManualClock): MemoryBroker {
  let epochs = 0;
  return new MemoryBroker({
    clock,
    newEpoch: () => `e${(epochs += 1)}`,
    flowOf,
    policyOf: flowPolicies(new Map()),
  });
}

async function start(): Promise<System> {
  const clock = new ManualClock();
  const h = await startHarness({ broker: makeBroker(clock), clock });
  const rig = new ChatRig({ broker: h.broker, clock });
  onTestFinished(() => rig.close());
  rig.startWorker(4);
  return { h, rig, ...(await h.listen()) };
}

async function prompt(h: Harness, sessionId: string, tenant = 'default'): Promise<string> {
  const url = `/v1/sessions/${sessionId}/messages`;
  const answer = await h.call('POST', url, h.bearer('alice', { tenant }), { content: 'x' });
  expect(answer.status).toBe(202);
  return String(answer.body['runId']);
}

const admin = (h: Harness, tenant = 'default'): string => h.bearer('op', { scope: 'admin', tenant });

/** A node on the storage of this broker, and each list of pauses that it was given. */
function otherNode(broker: MemoryBroker, clock: ManualClock) {
  const applied: (readonly string[])[] = [];
  const node = Object.assign(makeBroker(clock), {
    describe: broker.describe.bind(broker),
    read: broker.read.bind(broker),
    append: broker.append.bind(broker),
    setPaused: async (paused: Paused) => {
      applied.push(paused.names);
      return paused;
    },
  });
  return { node, applied };
}

describe('a pause', () => {
  it('lets prompts of a tenant wait, shows it to their readers, and ends', async () => {
    const { h, rig, port } = await start();
    await prompt(h, 'before', 'acme');
    const running = await rig.model.call(0);
    const paused = await h.call('POST', '/v1/admin/pause', admin(h), { tenant: 'acme' });
    expect([paused.status, paused.body]).toEqual([200, { changed: true }]);
    const runId = await prompt(h, 's', 'acme');
    const client = await SseClient.open(port, '/v1/sessions/s/events', {
      authorization: h.bearer('alice', { tenant: 'acme' }),
    });
    await client.live();
    await prompt(h, 'other');
    await rig.model.call(1);
    await h.clock.advance(1000);
    const told = () => client.events.seen.filter(({ event }) => event === 'queue').map(({ data }) => data);
    await eventually(() => told().length === 1);
    expect(told()).toEqual([{ runId, ahead: 0, paused: true }]);
    running.say('still running').finish();
    expect((await h.call('GET', '/metrics')).text).toContain('holdline_paused 1');
    expect((await h.call('GET', '/v1/admin/pauses', admin(h))).body).toEqual({
      pauses: [{ tenant: 'acme', since: expect.any(String) as string }],
    });
    await h.call('POST', '/v1/admin/resume', admin(h), { tenant: 'acme' });
    await rig.model.call(2);
  });

  it('of an agent holds back its prompts, and one of a chat only that chat', async () => {
    const { h, rig } = await start();
    await prompt(h, 'one');
    const call = await rig.model.call(0);
    call.say('x').finish();
    const [topic] = (await h.broker.list('chat/*' as never, { limit: 5 })).topics;
    expect((await h.call('POST', '/v1/admin/pause', admin(h), { topic: topic?.topic })).status).toBe(200);
    await prompt(h, 'one');
    await prompt(h, 'two');
    await rig.model.call(1);
    await h.call('POST', '/v1/admin/pause', admin(h), { agent: 'default' });
    await prompt(h, 'three');
    await h.call('POST', '/v1/admin/resume', admin(h), { topic: topic?.topic });
    await h.clock.advance(1);
    expect(rig.model.calls).toHaveLength(2);
    await h.call('POST', '/v1/admin/resume', admin(h), { agent: 'default' });
    await rig.model.call(3);
  });

  it('holds after a restart, and on a node that did not make it', async () => {
    const clock = new ManualClock();
    const broker = makeBroker(clock);
    await new Pauses({ broker, clock }).set({ kind: 'agent', name: 'poet' }, true);
    const { node, applied } = otherNode(broker, clock);
    const other = new Pauses({ clock, broker: node });
    await other.start();
    expect(applied).toEqual([['agent poet']]);
    // A gateway gives the list to the broker before it serves.
    await (await startHarness({ broker: node, clock })).listen();
    expect(applied).toEqual([['agent poet'], ['agent poet']]);
    applied.splice(0, 1);
    await new Pauses({ broker, clock }).set({ kind: 'agent', name: 'poet' }, false);
    other.close();
    await clock.advance(PAUSES_LOOK_MS);
    await eventually(() => applied.length === 2);
    expect(applied[1]).toEqual([]);
  });

  it('keeps the last list only, whatever wrote the list before it', async () => {
    const clock = new ManualClock();
    const broker = makeBroker(clock);
    const data = JSON.stringify({ version: 1, pauses: [{ kind: 'agent', name: 'old', since: 0 }] });
    await broker.append([{ topic: pausesTopic, records: [{ major: true, data }], expect: { absent: true } }]);
    for (let i = 0; i < 5; i += 1)
      await new Pauses({ broker, clock }).set({ kind: 'agent', name: 'poet' }, i % 2 === 0);
    const [info] = await broker.describe([pausesTopic]);
    const read = await broker.read(pausesTopic, { epoch: info?.epoch ?? '', offset: 0 });
    const lists = read.kind === 'batch' ? read.items.filter((item) => item.kind === 'record' && item.data !== '') : [];
    expect(lists).toHaveLength(2);
    expect((await new Pauses({ broker, clock }).list()).map(({ name }) => name)).toEqual(['old', 'poet']);
  });

  it('is not lost when two nodes change the list at the same time', async () => {
    const clock = new ManualClock();
    const broker = makeBroker(clock);
    const names = Array.from({ length: 8 }, (_, i) => `a${i}`);
    await Promise.all(names.map((name) => new Pauses({ broker, clock }).set({ kind: 'agent', name }, true)));
    expect((await new Pauses({ broker, clock }).list()).map(({ name }) => name).toSorted()).toEqual(names);
  });
});

describe('a list of pauses that the storage has lost', () => {
  const poet = { kind: 'agent', name: 'poet' } as const;

  async function lost(): Promise<{ broker: MemoryBroker; clock: ManualClock; pausedNames: () => Promise<unknown> }> {
    const clock = new ManualClock();
    const broker = makeBroker(clock);
    await clock.advance(60_000);
    // The clock of the node that paused was ahead.
    const ahead = new ManualClock();
    await ahead.advance(120_000);
    await new Pauses({ broker, clock: ahead }).set(poet, true);
    await broker.remove(pausesTopic);
    const pausedNames = async () => (await broker.setPaused({ names: [], version: 0 })).names;
    return { broker, clock, pausedNames };
  }

  it('no longer holds anything after a resume, on any node and of anything', async () => {
    for (const [target, isChanged] of [
      [poet, true],
      [{ kind: 'agent', name: 'other' }, false],
    ] as const) {
      const { broker, clock, pausedNames } = await lost();
      const pauses = new Pauses({ broker, clock });
      expect([await pauses.list(), await pausedNames()]).toEqual([[], ['agent poet']]);
      expect(await pauses.set(target, false)).toBe(isChanged);
      expect(await pausedNames()).toEqual([]);
      expect(await pauses.set(target, false)).toBe(false);
    }
  });

  it('is written again by a pause, above the version of the broker', async () => {
    const { broker, clock, pausedNames } = await lost();
    expect(await new Pauses({ broker, clock }).set({ kind: 'agent', name: 'other' }, true)).toBe(true);
    expect(await pausedNames()).toEqual(['agent other']);
  });
});

describe('a start', () => {
  it('counts a record that is no list as lost, reports it, and the next change replaces it', async () => {
    for (const data of [
      '{',
      'null',
      '{"version":1}',
      '{"version":1,"pauses":[{"kind":"agent"}]}',
      '{"version":1,"pauses":[{"kind":"topic","name":"x","since":1}]}',
      JSON.stringify({ version: 1, pauses: Array(PAUSED_MAX + 1).fill({ kind: 'agent', name: 'a', since: 1 }) }),
    ]) {
      const clock = new ManualClock();
      const broker = makeBroker(clock);
      await broker.append([{ topic: pausesTopic, records: [{ major: false, data }], expect: { create: true } }]);
      const reported: unknown[] = [];
      const pauses = new Pauses({ broker, clock, onError: (error) => reported.push(error) });
      onTestFinished(() => pauses.close());
      await pauses.start();
      expect(reported.map((error) => isBrokerError(error, 'corrupt'))).toEqual([true]);
      expect(await pauses.set({ kind: 'agent', name: 'poet' }, true)).toBe(true);
      expect((await new Pauses({ broker, clock }).list()).map(({ name }) => name)).toEqual(['poet']);
    }
  });

  it('continues while the storage refuses work or cannot read the list back, and applies the list later', async () => {
    for (const [operation, code] of [
      ['describe', 'unavailable'],
      ['read', 'corrupt'],
    ] as const) {
      const clock = new ManualClock();
      const broker = makeBroker(clock);
      await new Pauses({ broker, clock }).set({ kind: 'agent', name: 'poet' }, true);
      const { node, applied } = otherNode(broker, clock);
      Object.assign(node, { [operation]: () => Promise.reject(new BrokerError(code, 'not now')) });
      await startHarness({ broker: node, clock });
      expect(applied.flat()).toEqual([]);
      Object.assign(node, { [operation]: broker[operation].bind(broker) });
      await clock.advance(code === 'corrupt' ? PAUSES_LOOK_MS : PAUSES_RETRY_MS);
      await eventually(() => applied.at(-1)?.length === 1);
    }
  });
});

describe('a request to pause', () => {
  it('is refused unless it names one thing that can be there', async () => {
    const { h } = await start();
    for (const body of [
      {},
      { agent: 'a', tenant: 'b' },
      { agent: 'a/b' },
      { topic: 'request/x/y' },
      { topic: 'chat/*' },
    ]) {
      const { status, body: answer } = await h.call('POST', '/v1/admin/pause', admin(h), body);
      expect([status, answer.error?.code]).toEqual([400, 'invalid-request']);
    }
  });

  it('of another tenant than the default one may name only that tenant and its chats', async () => {
    const { h } = await start();
    const status = async (body: object): Promise<number> =>
      (await h.call('POST', '/v1/admin/pause', admin(h, 'acme'), body)).status;
    expect(await status({ agent: 'default' })).toBe(403);
    expect(await status({ tenant: 'other' })).toBe(403);
    expect(await status({ topic: 'chat/other:u:s' })).toBe(403);
    expect(await status({ tenant: 'acme' })).toBe(200);
    expect(await status({ topic: 'chat/acme:u:s' })).toBe(200);
    await h.call('POST', '/v1/admin/pause', admin(h), { agent: 'default' });
    const { body } = await h.call('GET', '/v1/admin/pauses', admin(h, 'acme'));
    expect((body['pauses'] as object[]).map((pause) => Object.keys(pause)[0])).toEqual(['tenant', 'topic']);
  });

  it('of another tenant than the default one is refused above its own cap, and never fills the list', async () => {
    const { h } = await start();
    const post = async (path: string, body: object, tenant = 'default'): Promise<unknown> => {
      const answer = await h.call('POST', `/v1/admin/${path}`, admin(h, tenant), body);
      return answer.status === 200 ? answer.body['changed'] : answer.body.error?.details;
    };
    const chat = (i: number) => ({ topic: `chat/acme:u:${i}` });
    expect(await post('pause', { agent: 'a' })).toBe(true);
    for (let i = 0; i < TENANT_PAUSED_MAX; i += 1) expect(await post('pause', chat(i), 'acme')).toBe(true);
    expect(await post('pause', { tenant: 'acme' }, 'acme')).toEqual({ limit: TENANT_PAUSED_MAX });
    expect(await post('pause', chat(0), 'acme')).toBe(false);
    expect(await post('pause', { tenant: 'acme' })).toBe(true);
    expect(await post('pause', { tenant: 'other' }, 'other')).toBe(true);
    expect(await post('resume', chat(0), 'acme')).toBe(true);
  });
});
