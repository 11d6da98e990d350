// A log that is out of reach for a while, at every place where a worker needs it: the answer waits for it, and nothing
// is written twice or lost.
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { BrokerEngine, Delivery, ReadResult } from '../../src/broker/broker.ts';
import { BrokerError, type BrokerErrorCode } from '../../src/broker/errors.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { PERSIST_RETRY_MS } from '../../src/worker/persist.ts';
import { ChatRig, joinAnswer } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { IteratedTail } from '../support/iterated-tail.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

const LEASE_MS = 9_000;
const [DEBUG, WARN, ERROR] = [20, 40, 50];

/** What is out of reach, and how often it was called meanwhile. */
interface Outage {
  /** `unheard`: the append is done, and its answer is lost. */
  append: 'works' | 'refuses' | 'unheard';
  settles: 'works' | 'refuses';
  code: BrokerErrorCode;
  /** The log lines of the workers, at every level. */
  readonly logged: { readonly level: number; readonly msg: string }[];
  /** Ends every tail. */
  cutTails(): void;
  asked: number;
}

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

function away(outage: Outage): never {
  outage.asked += 1;
  throw new BrokerError(outage.code, 'away');
}

function start(): Outage {
  const clock = new ManualClock();
  const inner = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const cuts = new Set<() => void>();
  const outage: Outage = {
    append: 'works',
    settles: 'works',
    code: 'unavailable',
    logged: [],
    asked: 0,
    cutTails: () => cuts.forEach((cut) => cut()),
  };
  const settled = (delivery: Delivery): Delivery => ({
    topic: delivery.topic,
    epoch: delivery.epoch,
    record: delivery.record,
    priority: delivery.priority,
    attempt: delivery.attempt,
    lost: delivery.lost,
    ack: async () => (outage.settles === 'refuses' ? away(outage) : delivery.ack()),
    nack: async (...args) => (outage.settles === 'refuses' ? away(outage) : delivery.nack(...args)),
    reject: async (reason) => (outage.settles === 'refuses' ? away(outage) : delivery.reject(reason)),
    extend: async () => (outage.settles === 'refuses' ? away(outage) : delivery.extend()),
    charge: (tokens) => delivery.charge(tokens),
  });
  const cutTail = async function* (
    ...[topic, from, options]: Parameters<BrokerEngine['tail']>
  ): AsyncGenerator<ReadResult> {
    const cut = new AbortController();
    const stop = (): void => cut.abort();
    options.signal.addEventListener('abort', stop, { once: true });
    cuts.add(stop);
    yield* inner.tail(topic, from, { ...options, signal: cut.signal });
    cuts.delete(stop);
    if (!options.signal.aborted) away(outage);
  };
  const broker = wrapBroker(inner, {
    append: async (writes) => {
      if (outage.append === 'refuses') away(outage);
      const appended = await inner.append(writes);
      return outage.append === 'unheard' ? away(outage) : appended;
    },
    tail: (...args) => new IteratedTail(cutTail(...args)),
    async *consume(...args): AsyncGenerator<Delivery> {
      for await (const delivery of inner.consume(...args)) yield settled(delivery);
    },
  });
  const write = (line: string): void => void outage.logged.push(JSON.parse(line) as Outage['logged'][number]);
  rig = new ChatRig({ broker, clock, leaseMs: LEASE_MS, logger: pino({ level: 'trace' }, { write }) });
  return outage;
}

async function saidSoFar(runId: string, text: string): Promise<void> {
  await eventually(async () => joinAnswer(await rig.seen(), runId) === text);
}

describe('while the log is out of reach', () => {
  it.each(['refuses', 'unheard'] as const)(
    'the end of an answer waits for it (it %s), and is written once',
    async (how) => {
      const outage = start();
      rig.startWorker();
      const { runId } = await rig.prompt('hello');
      const call = await rig.model.call(0);
      call.say('all of it');
      await saidSoFar(runId, 'all of it');
      outage.append = how;
      call.finish();
      await eventually(() => outage.asked > 0);
      if (how === 'refuses') await rig.clock.advance(5 * PERSIST_RETRY_MS);
      if (how === 'refuses') expect(outage.asked).toBeGreaterThan(3);
      outage.append = 'works';
      await rig.clock.advance(PERSIST_RETRY_MS);
      await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.completed'));
      const types = (await rig.seen()).map(({ type }) => type);
      expect(types).toEqual(['message.created', 'run.queued', 'run.started', 'delta', 'run.completed']);
      expect(joinAnswer(await rig.seen(), runId)).toBe('all of it');
      expect(rig.model.calls).toHaveLength(1);
    },
  );

  it('a worker continues and receives a Stop afterwards', async () => {
    const outage = start();
    rig.startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    call.say('one ');
    await saidSoFar(runId, 'one ');
    outage.cutTails();
    await eventually(() => outage.asked > 0);
    call.say('two ');
    await saidSoFar(runId, 'one two ');
    expect(call.isAborted).toBe(false);
    await rig.clock.advance(PERSIST_RETRY_MS);
    await rig.runs.cancel(rig.alice, rig.ref, runId);
    await eventually(() => call.isAborted);
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.cancelled'));
  });

  it('a lease that could not be extended once is extended when the log is back', async () => {
    const outage = start();
    rig.startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    outage.settles = 'refuses';
    await rig.clock.advance(LEASE_MS / 3);
    expect(outage.asked).toBe(1);
    outage.settles = 'works';
    await rig.clock.advance(LEASE_MS);
    call.say('still mine').finish();
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.completed'));
    expect((await rig.seen()).filter(({ type }) => type === 'run.restarted')).toEqual([]);
    expect(joinAnswer(await rig.seen(), runId)).toBe('still mine');
  });

  it.each<[BrokerErrorCode, number[]]>([
    ['disk-full', [WARN, WARN, DEBUG]],
    ['overloaded', [WARN, WARN, DEBUG]],
    ['unavailable', [DEBUG, DEBUG, DEBUG]],
    ['failed', [ERROR, ERROR, ERROR]],
  ])('a lease that is refused as %s is logged at the levels %j, and again after a success', async (code, levels) => {
    const outage = start();
    outage.code = code;
    rig.startWorker();
    await rig.prompt('hello');
    const call = await rig.model.call(0);
    for (const settles of ['refuses', 'works', 'refuses', 'refuses'] as const) {
      outage.settles = settles;
      await rig.clock.advance(LEASE_MS / 3);
    }
    outage.settles = 'works';
    call.say('mine').finish();
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.completed'));
    const lines = outage.logged.filter(({ msg }) => msg === 'a lease could not be extended');
    expect(lines.map(({ level }) => level)).toEqual(levels);
  });

  it('a finished request is acknowledged as soon as the log is back, and the next one does not wait for the lease', async () => {
    const outage = start();
    rig.startWorker();
    await rig.prompt('hello');
    const call = await rig.model.call(0);
    await rig.prompt('and then');
    outage.settles = 'refuses';
    call.say('first').finish();
    await eventually(() => outage.asked > 0);
    outage.settles = 'works';
    await rig.clock.advance(PERSIST_RETRY_MS);
    (await rig.model.call(1)).say('second').finish();
    await eventually(async () => (await rig.seen()).filter(({ type }) => type === 'run.completed').length === 2);
  });
});
