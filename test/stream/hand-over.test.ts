// The step of a reader from catch-up to live while the live topic of its node is behind the log.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { LogBatch, ReadResult } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ProjectedEncoder } from '../../src/stream/projected-encoder.ts';
import { textWire } from '../../src/wires/text.ts';
import { ChatRig, joinAnswer } from '../support/chat-rig.ts';
import { eventually, turn } from '../support/wait-for.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { IteratedTail } from '../support/iterated-tail.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { TextSink } from '../support/text-sink.ts';

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

/** A rig whose tails hold batches back while `gate.isShut`, and deliver them as one batch with the next one. A read
 *  returns at most `pageRecords` records. */
function lateRig(pageRecords: number): { gate: { isShut: boolean } } {
  const clock = new ManualClock();
  const inner = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const gate = { isShut: false };
  const lateTail = async function* (...args: Parameters<MemoryBroker['tail']>): AsyncGenerator<ReadResult> {
    const late: LogBatch[] = [];
    for await (const result of inner.tail(...args)) {
      if (args[2].majorOnly === true || result.kind !== 'batch') yield result;
      else if (gate.isShut) late.push(result);
      else yield merged([...late.splice(0), result]);
    }
  };
  const broker = Object.assign(Object.create(inner) as MemoryBroker, {
    append: inner.append.bind(inner),
    read: (...[topic, from, options]: Parameters<MemoryBroker['read']>) =>
      inner.read(topic, from, { maxRecords: pageRecords, ...options }),
    describe: inner.describe.bind(inner),
    remove: inner.remove.bind(inner),
    list: inner.list.bind(inner),
    consume: inner.consume.bind(inner),
    health: inner.health.bind(inner),
    close: inner.close.bind(inner),
    tail: (...args: Parameters<MemoryBroker['tail']>) => new IteratedTail(lateTail(...args)),
  });
  rig = new ChatRig({ broker, clock });
  return { gate };
}

function merged(batches: readonly LogBatch[]): LogBatch {
  const last = batches.at(-1);
  if (last === undefined) throw new Error('nothing to merge');
  return { ...last, items: batches.flatMap((batch) => batch.items) };
}

describe('Subscription', () => {
  it('takes only what is new from a late batch when it has read further than the live topic', async () => {
    const { gate } = lateRig(1000);
    rig.startWorker();
    const { runId } = await rig.prompt('count');
    const early = rig.view();
    const call = await rig.model.call(0);
    await eventually(() => early.sink.controls.length > 0);
    gate.isShut = true;
    call.say('one ');
    await eventually(async () => ((await rig.broker.describe([chatTopic(rig.ref)]))[0]?.next ?? 0) > 3);
    // This reader catches up beyond the live topic, and goes live.
    const late = rig.view();
    await eventually(() => late.sink.controls.length > 0);
    expect(joinAnswer(late.sink.events, runId)).toBe('one ');
    gate.isShut = false;
    call.say('two ').finish();
    for (const viewer of [early, late]) {
      await eventually(() => viewer.sink.events.some((event) => TERMINAL.test(event.type)));
      expect(joinAnswer(viewer.sink.events, runId)).toBe('one two ');
    }
  });

  it('sends exactly the rest when a projection resumes ahead of the live topic', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(6), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 5 }), checkResumeAhead),
      { numRuns: 40 },
    );
  });

  it('sends a reset and ends when the log has lost records that the reader of a projection holds', async () => {
    lateRig(1000);
    await rig.prompt('count');
    const viewer = rig.view({ epoch: 'e', offset: 0 }, { cut: 2, onReset: 'close' });
    await viewer.running;
    expect(viewer.sink.controls).toMatchObject([{ type: 'reset', reason: 'ahead-of-log', next: 2 }]);
    expect(viewer.sink.ended).toBe('reset');
  });
});

const TERMINAL = /^run\.(completed|failed|cancelled)$/;

/** The live topic has delivered `shown` deltas and holds `late` back; reads have pages of `pageRecords`. */
async function checkResumeAhead(shown: number, late: number, pageRecords: number): Promise<void> {
  const { gate } = lateRig(pageRecords);
  const { runId } = await rig.prompt('count');
  const run = await FakeRun.take({ broker: rig.broker, commandLog: rig.log }, 's1', runId);
  const words = Array.from({ length: shown + late + 1 }, (_, i) => `${i} `);
  await run.say(...words.slice(0, shown));
  const early = rig.view();
  await eventually(() => joinAnswer(early.sink.events, runId) === words.slice(0, shown).join(''));
  await eventually(() => early.sink.controls.length > 0);
  gate.isShut = true;
  await run.say(...words.slice(shown, -1));
  const first = run.run.queuedAt + 2;
  const readers = words.slice(0, -1).map((_, i) => {
    const after = first + i;
    const sink = new TextSink();
    const seed = { runId, after };
    rig.view(
      { epoch: 'e', offset: run.run.queuedAt - 1 },
      { encoder: new ProjectedEncoder(textWire.project(seed)), sink, cut: after, onReset: 'close' },
    );
    return { sink, rest: words.slice(i + 1).join('') };
  });
  for (let i = 0; i < 50; i += 1) await turn();
  gate.isShut = false;
  await run.say(...words.slice(-1));
  await run.complete();
  await eventually(() => readers.every(({ sink }) => sink.ended !== undefined));
  expect(readers.map(({ sink }) => sink)).toMatchObject(readers.map(({ rest }) => ({ text: rest, ended: 'done' })));
  await rig.close();
}
