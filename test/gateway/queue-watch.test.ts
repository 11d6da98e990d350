// Queue positions as their readers receive them: the number of runs before their own, on both wires, and nothing else.
// [PROTOCOL §4]
import { expect, it, onTestFinished } from 'vitest';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

interface System {
  readonly h: Harness;
  /** A rig on the same broker, with one worker of one slot. */
  readonly rig: ChatRig;
  readonly port: number;
  readonly wsUrl: string;
}

async function start(): Promise<System> {
  const h = await startHarness();
  const rig = new ChatRig({ broker: h.broker, clock: h.clock });
  onTestFinished(() => rig.close());
  rig.startWorker(1);
  return { h, rig, ...(await h.listen()) };
}

async function prompt(h: Harness, sessionId: string): Promise<string> {
  const answer = await h.call('POST', `/v1/sessions/${sessionId}/messages`, 'alice', { content: 'x' });
  expect(answer.status).toBe(202);
  return String(answer.body['runId']);
}

function watch({ h, port }: System, sessionId: string): Promise<SseClient> {
  return SseClient.open(port, `/v1/sessions/${sessionId}/events`, { authorization: h.bearer('alice') });
}

function told(client: SseClient): readonly unknown[] {
  return client.events.seen.filter((event) => event.event === 'queue').map((event) => event.data);
}

it('sends a reader the number of runs before its own when it changes, on both wires', async () => {
  const system = await start();
  const { h, rig } = system;
  await prompt(h, 's1');
  await rig.model.call(0);
  await prompt(h, 's2');
  const mine = await prompt(h, 's3');
  const sse = await watch(system, 's3');
  await sse.live();
  const ws = await WsClient.open(system.wsUrl, { headers: { authorization: h.bearer('alice') } });
  ws.send({ type: 'subscribe', sessionId: 's3' });
  await ws.untilEvent('s3', 'live');
  await h.clock.advance(1000);
  await eventually(() => told(sse).length === 1);
  await ws.untilEvent('s3', 'queue');
  await h.clock.advance(5000);
  expect(told(sse)).toEqual([{ runId: mine, ahead: 1 }]);
  (await rig.model.call(0)).finish();
  await rig.model.call(1);
  await h.clock.advance(1000);
  await eventually(() => told(sse).length === 2);
  // One run has ended, after six seconds.
  expect(told(sse)[1]).toEqual({ runId: mine, ahead: 0, startsInSeconds: 6 });
  (await rig.model.call(1)).finish();
  (await rig.model.call(2)).say('x').finish();
  await eventually(() => sse.events.seen.some((event) => event.event === 'run.completed'));
  await h.clock.advance(5000);
  expect(told(sse)).toHaveLength(2);
});

it('counts the runs of the user’s own chat, and those before its head', async () => {
  const system = await start();
  const { h, rig } = system;
  await prompt(h, 's1');
  await rig.model.call(0);
  const sse = await watch(system, 's1');
  await sse.live();
  const [second, third] = [await prompt(h, 's1'), await prompt(h, 's1')];
  await h.clock.advance(1000);
  await eventually(() => told(sse).length === 2);
  expect(told(sse)).toEqual([
    { runId: second, ahead: 1 },
    { runId: third, ahead: 2 },
  ]);
});

it('makes no broker request while no run is queued or no reader follows', async () => {
  const system = await start();
  const { h, rig } = system;
  await prompt(h, 's1');
  await rig.model.call(0);
  await prompt(h, 's2');
  const sse = await watch(system, 's1');
  await sse.live();
  let questions = 0;
  const countBefore = h.broker.countBefore.bind(h.broker);
  h.broker.countBefore = (...args) => {
    questions += 1;
    return countBefore(...args);
  };
  await h.clock.advance(10_000);
  expect(questions).toBe(0);
  const other = await watch(system, 's2');
  await other.live();
  await h.clock.advance(1000);
  await eventually(() => questions === 1);
  other.close();
  await h.clock.advance(3000);
  const asked = questions;
  await h.clock.advance(10_000);
  expect(questions).toBe(asked);
});
