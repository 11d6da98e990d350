// An unwatched answer is ended if its agent's policy says so. The gateways and the worker share only a log.
import { expect, it, onTestFinished, vi } from 'vitest';
import { BrokerError } from '../../src/broker/errors.ts';
import { parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { subagentSession, parentPrincipal } from '../../src/session/subagent-session.ts';
import { inputIdOf } from '../../src/session/waits/new-wait.ts';
import { PRESENCE_MS } from '../../src/session/stores/presence.ts';
import type { Agent } from '../../src/worker/agent.ts';
import type { Worker } from '../../src/worker/worker.ts';
import { ChatRig, PlayedModel, type PlayedCall } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness, type Address, type Harness } from '../support/gateway-harness.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { readSse } from '../support/sse-reader.ts';
import { QUESTION } from '../support/waits.ts';

const UNWATCHED_MS = 20_000;
const A_WHILE = 10 * UNWATCHED_MS;
/** The time that touches and checks may add. */
const SLACK_MS = 3 * PRESENCE_MS;
const UNWATCHED = { type: 'run.cancelled', by: 'holdline', reason: 'unwatched' };

interface Node extends Address {
  readonly harness: Harness;
}

class World {
  readonly clock = new ManualClock();
  readonly broker: MemoryBroker;
  readonly rig: ChatRig;
  /** The worker that runs begin with. */
  readonly worker: Worker;
  #epochs = 0;

  constructor(agent: Partial<Agent> = { unwatchedMs: UNWATCHED_MS }) {
    this.broker = new MemoryBroker({ clock: this.clock, newEpoch: () => `e${(this.#epochs += 1)}` });
    this.rig = new ChatRig({ broker: this.broker, clock: this.clock, agent });
    this.worker = this.rig.startWorker();
    onTestFinished(() => this.rig.close());
  }

  async node(): Promise<Node> {
    const harness = await startHarness({ broker: this.broker, clock: this.clock });
    return { harness, ...(await harness.listen()) };
  }

  /** Opens a live stream to the chat. The result closes it, and resolves once the node has noticed. */
  async watch({ harness, url }: Node): Promise<() => Promise<void>> {
    const reader = await readSse({ url, token: harness.token('alice'), sessionId: this.rig.ref.sessionId });
    await reader.until(({ event }) => event === 'live');
    return async () => {
      reader.cut();
      await eventually(async () => (await harness.gateway.metrics.text()).includes('holdline_streams{wire="sse"} 0'));
    };
  }

  /** Advances in steps, so that every touch and every check runs. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= PRESENCE_MS) await this.clock.advance(Math.min(left, PRESENCE_MS));
  }

  /** The answer's first leg ends, and its run waits for a human. */
  async wait(): Promise<void> {
    const leg = await this.rig.model.call(0);
    leg.say('Well. ', { type: 'wait', ...QUESTION });
    await eventually(async () => (await this.rig.seen()).some(({ type }) => type === 'run.waiting'));
  }

  /** Answers what the run waits for. Resolves with its next leg. */
  async resume({ harness }: Node, runId: string): Promise<PlayedCall> {
    const path = `/v1/sessions/${this.rig.ref.sessionId}/inputs/${inputIdOf(runId, 0, 'size')}`;
    expect((await harness.call('POST', path, this.rig.alice.user, { value: 'large' })).status).toBe(202);
    return this.rig.model.call(1);
  }

  async last(): Promise<unknown> {
    const last = (await this.rig.seen()).at(-1);
    return { type: last?.type, by: last?.data['by'], reason: last?.data['reason'] };
  }

  async ended(): Promise<void> {
    await eventually(
      async () => (await this.rig.sessions.describe(this.rig.alice, this.rig.ref)).activeRun === undefined,
    );
  }
}

it('an unwatched answer is ended after the policy’s time, not before, and keeps its text', async () => {
  const world = new World();
  await world.rig.prompt('hello');
  const call = await world.rig.model.call(0);
  call.say('so far');
  await world.pass(UNWATCHED_MS);
  expect(call.isAborted).toBe(false);
  await world.pass(SLACK_MS);
  expect(call.isAborted).toBe(true);
  await world.ended();
  expect(await world.last()).toEqual(UNWATCHED);
  const { messages } = await world.rig.sessions.history(world.rig.alice, world.rig.ref, 10, undefined);
  expect(messages[1]).toMatchObject({ content: 'so far', status: 'cancelled' });
});

it('a guarded answer continues while a reader watches on any node, whether the stream or the run came first', async () => {
  const world = new World();
  const [one, other] = [await world.node(), await world.node()];
  await world.rig.prompt('first');
  const first = await world.rig.model.call(0);
  const [leaveOne, leaveOther] = [await world.watch(one), await world.watch(other)];
  await world.pass(A_WHILE);
  expect(first.isAborted).toBe(false);
  first.finish();
  await world.ended();
  await world.rig.prompt('second');
  const second = await world.rig.model.call(1);
  await world.pass(A_WHILE);
  await leaveOne();
  await world.pass(A_WHILE);
  expect(second.isAborted).toBe(false);
  await leaveOther();
  await world.pass(UNWATCHED_MS + SLACK_MS);
  expect(second.isAborted).toBe(true);
  await world.ended();
  expect(await world.last()).toEqual(UNWATCHED);
});

it('a guarded answer continues when its reader is away for less than the time, repeatedly and on any node', async () => {
  const world = new World();
  const nodes = [await world.node(), await world.node()];
  await world.rig.prompt('hello');
  const call = await world.rig.model.call(0);
  for (let round = 0; round < 6; round += 1) {
    // At every phase of the touches and the checks.
    await world.clock.advance(700 * round);
    const leave = await world.watch(nodes[round % 2] as Node);
    await world.clock.advance(PRESENCE_MS - 1);
    await leave();
    await world.pass(UNWATCHED_MS - 1);
    expect(call.isAborted).toBe(false);
  }
});

it('an answer without a policy continues, and no presence is written for it', async () => {
  const world = new World({});
  const node = await world.node();
  await world.rig.prompt('hello');
  const call = await world.rig.model.call(0);
  const leave = await world.watch(node);
  await world.pass(A_WHILE);
  expect((await world.broker.list(parseTopicPattern('watch/*'), { limit: 10 })).topics).toEqual([]);
  await leave();
  await world.pass(A_WHILE);
  expect(call.isAborted).toBe(false);
});

it('a guarded answer continues while presence cannot be read', async () => {
  const world = new World();
  await world.rig.prompt('hello');
  const call = await world.rig.model.call(0);
  const describe = world.broker.describe.bind(world.broker);
  const away = vi
    .spyOn(world.broker, 'describe')
    .mockImplementation((topics) =>
      topics.some((topic) => topic.startsWith('watch/'))
        ? Promise.reject(new BrokerError('unavailable', 'away'))
        : describe(topics),
    );
  await world.pass(A_WHILE);
  expect(call.isAborted).toBe(false);
  away.mockRestore();
  await world.pass(UNWATCHED_MS + SLACK_MS);
  expect(call.isAborted).toBe(true);
});

it('a subagent’s answer is not ended, because no reader can watch it', async () => {
  const world = new World({});
  const { rig } = world;
  const asked = new PlayedModel();
  rig.startWorker(8, { name: 'asked', provider: asked, unwatchedMs: UNWATCHED_MS });
  const { runId } = await rig.prompt('hello');
  await rig.model.call(0);
  const parent = { ...rig.ref, runId };
  await rig.runs.send(parentPrincipal(parent), subagentSession(parent, 'k'), {
    content: 'x',
    agent: 'asked',
    model: '',
    priority: 'normal',
    onBusy: 'queue',
  });
  const call = await asked.call(0);
  await world.pass(A_WHILE);
  expect(call.isAborted).toBe(false);
});

it('a guarded answer that waits for a human is not ended, and a reader who came meanwhile watches its next leg', async () => {
  const world = new World();
  const [one, other] = [await world.node(), await world.node()];
  const { runId } = await world.rig.prompt('go');
  await world.wait();
  await world.pass(A_WHILE);
  const leave = await world.watch(one);
  const second = await world.resume(other, runId);
  await world.pass(A_WHILE);
  expect(second.isAborted).toBe(false);
  await leave();
  await world.pass(UNWATCHED_MS + SLACK_MS);
  expect(second.isAborted).toBe(true);
  await world.ended();
  expect(await world.last()).toEqual(UNWATCHED);
});

it('an answer that its next leg guards continues while a reader watches who came before', async () => {
  const world = new World({});
  const { rig, worker } = world;
  const [one, other] = [await world.node(), await world.node()];
  const { runId } = await rig.prompt('go');
  const leave = await world.watch(one);
  await world.wait();
  // Meanwhile the policy of the agent has changed.
  await worker.close();
  rig.startWorker(8, { name: 'default', unwatchedMs: UNWATCHED_MS });
  const second = await world.resume(other, runId);
  await world.pass(A_WHILE);
  expect(second.isAborted).toBe(false);
  await leave();
  await world.pass(UNWATCHED_MS + SLACK_MS);
  expect(second.isAborted).toBe(true);
});
