// Two workers of one agent, of which one has a model server that fails: the other gets the runs, and users lose none.
import { expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import type { Delivery } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { delay } from '../../src/base/clock.ts';
import { LEASE_MS } from '../../src/worker/worker.ts';
import { requestTopic } from '../../src/session/topic-names.ts';
import type { SentPrompt } from '../../src/session/runs.ts';
import { ProviderError, type Provider, type ProviderRequest } from '../../src/worker/provider.ts';
import { REST_MS_MAX } from '../../src/worker/credit-rule.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually, turn } from '../support/wait-for.ts';

const ANSWER_MS = 100;
const RUNS = 200;

class Server implements Provider {
  readonly canContinue = false;
  readonly requests: ProviderRequest[] = [];
  readonly #clock: ManualClock;
  isBroken: boolean;

  constructor(clock: ManualClock, isBroken: boolean) {
    this.#clock = clock;
    this.isBroken = isBroken;
  }

  async *stream(request: ProviderRequest): ReturnType<Provider['stream']> {
    this.requests.push(request);
    if (this.isBroken) throw new ProviderError('upstream-error', 'the model server failed', { detail: '500' });
    await delay(this.#clock, ANSWER_MS, request.signal);
    yield { type: 'text', text: 'fine' };
    yield { type: 'finish', reason: 'stop' };
  }
}

async function start() {
  const clock = new ManualClock();
  let epochs = 0;
  const rig = new ChatRig({ broker: new MemoryBroker({ clock, newEpoch: () => `e${(epochs += 1)}` }), clock });
  onTestFinished(() => rig.close());
  const servers = { broken: new Server(clock, true), healthy: new Server(clock, false) };
  const agent = { name: 'default', takeover: 'restart', upstreamRetries: 10 } as const;
  const broken = rig.startWorker(4, { ...agent, provider: servers.broken });
  const healthy = rig.startWorker(4, { ...agent, provider: servers.healthy });
  return { clock, rig, servers, broken, healthy };
}

type System = Awaited<ReturnType<typeof start>>;

async function prompts({ rig }: System, from: number, to: number): Promise<SentPrompt[]> {
  const sent: SentPrompt[] = [];
  for (let i = from; i < to; i += 1)
    sent.push(
      await rig.runs.send(
        { tenant: 'default', user: 'alice' },
        { tenant: 'default', sessionId: `s${i}` },
        { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' },
      ),
    );
  return sent;
}

/** Lets time pass until no run is left. Returns the ms. */
async function finish({ rig, clock }: System, count: number): Promise<number> {
  let ms = 0;
  const isOver = async (i: number): Promise<boolean> =>
    (await rig.log.load({ tenant: 'default', sessionId: `s${i}` }))?.state.runs.length === 0;
  for (let left = Array.from({ length: count }, (_, i) => i); left.length > 0; ms += ANSWER_MS) {
    await clock.advance(ANSWER_MS);
    for (let i = 0; i < 20; i += 1) await turn();
    const over = await Promise.all(left.map(isOver));
    left = left.filter((_, i) => over[i] !== true);
    if (ms > 600_000) throw new Error(`${left.length} runs do not end`);
  }
  return ms;
}

it('gives the runs to the worker whose server answers, and each user gets an answer', async () => {
  const system = await start();
  const { servers, broken, healthy } = system;
  await prompts(system, 0, RUNS);
  await finish(system, RUNS);
  expect(servers.healthy.requests).toHaveLength(RUNS);
  expect(servers.broken.requests.length).toBeLessThan(RUNS / 10);
  expect(broken.credits.get('default')).toBeLessThanOrEqual(1);
  expect(healthy.credits.get('default')).toBe(4);
});

it('gives a worker its whole credit back once its server answers again', async () => {
  const system = await start();
  const { servers, broken, clock } = system;
  await prompts(system, 0, 40);
  await finish(system, 40);
  servers.broken.isBroken = false;
  await clock.advance(REST_MS_MAX);
  await prompts(system, 40, 90);
  await finish(system, 90);
  expect(broken.credits.get('default')).toBe(4);
});

/** No lease can be extended. */
class StuckBroker extends MemoryBroker {
  override async *consume(...args: Parameters<MemoryBroker['consume']>): AsyncGenerator<Delivery> {
    for await (const delivery of super.consume(...args)) {
      delivery.extend = () => Promise.reject(new BrokerError('unavailable', 'away'));
      yield delivery;
    }
  }
}

it('takes credit from a worker whose lease ran out, and none from one whose request was removed', async () => {
  const clock = new ManualClock();
  let epochs = 0;
  const rig = new ChatRig({ broker: new StuckBroker({ clock, newEpoch: () => `e${(epochs += 1)}` }), clock });
  onTestFinished(() => rig.close());
  const worker = rig.startWorker(8);
  await rig.prompt('removed');
  const removed = await rig.model.call(0);
  await rig.broker.remove(requestTopic('default', rig.ref));
  await eventually(() => removed.isAborted && worker.activeRuns === 0);
  expect(worker.credits.get('default')).toBe(8);
  const other = { tenant: 'default', sessionId: 's2' };
  const prompt = { agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
  await rig.runs.send(rig.alice, other, { ...prompt, content: 'expired' });
  const expired = await rig.model.call(1);
  await clock.advance(LEASE_MS);
  await eventually(() => expired.isAborted && worker.credits.get('default') === 4);
});

it('takes credit once for runs that fail together', async () => {
  const clock = new ManualClock();
  const rig = new ChatRig({ broker: new MemoryBroker({ clock, newEpoch: () => 'e' }), clock });
  onTestFinished(() => rig.close());
  const worker = rig.startWorker(8);
  const prompt = { agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
  for (const sessionId of ['s1', 's2', 's3'])
    await rig.runs.send(rig.alice, { tenant: 'default', sessionId }, { ...prompt, content: 'x' });
  const calls = [await rig.model.call(0), await rig.model.call(1), await rig.model.call(2)];
  await clock.advance(10);
  for (const call of calls) call.fail(new ProviderError('upstream-error', 'it failed'));
  await eventually(() => worker.activeRuns === 0);
  expect(worker.credits.get('default')).toBe(4);
});
