// Catch-up and live delivery as a reader receives them: wherever a connection is cut, the text joins.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ProviderError } from '../../src/worker/provider.ts';
import type { Worker } from '../../src/worker/worker.ts';
import { ChatRig, joinAnswer, type SeenEvent } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { ManualClock } from '../support/manual-clock.ts';

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

const TERMINAL = /^run\.(completed|failed|cancelled)$/;

async function epochOf(sessionId = 's1'): Promise<string> {
  return (await rig.log.load({ tenant: 'default', sessionId }))?.epoch ?? '';
}

/** Makes an answer of `tokens` numbers, each a record of its own. `live`: the events that a live reader received of
 *  it. */
async function finishedAnswer(tokens: number): Promise<{ runId: string; live: readonly SeenEvent[]; text: string }> {
  rig.startWorker();
  const { runId } = await rig.prompt('count');
  const viewer = rig.view();
  const call = await rig.model.call(0);
  let text = '';
  for (let i = 1; i <= tokens; i += 1) {
    call.say(`${i} `);
    text += `${i} `;
    if (i % 50 === 0 || i === tokens) await eventually(() => joinAnswer(viewer.sink.events, runId) === text);
  }
  call.finish();
  await eventually(() => viewer.sink.events.some((event) => TERMINAL.test(event.type)));
  return { runId, live: viewer.sink.events, text };
}

/** A chat with two prompts whose record at the offset is missing, and in no hole. */
async function startWithoutRecord(offset: number): Promise<void> {
  const clock = new ManualClock();
  const inner = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const read = inner.read.bind(inner);
  inner.read = async (...args) => {
    const result = await read(...args);
    return result.kind === 'batch' && args[2]?.direction === undefined
      ? { ...result, items: result.items.filter((item) => item.kind !== 'record' || item.offset !== offset) }
      : result;
  };
  rig = new ChatRig({ broker: inner, clock });
  await rig.prompt('a');
  await rig.prompt('b');
}

describe('Subscription', () => {
  it('sends exactly the rest when a reader resumes at any offset after the end', async () => {
    rig = new ChatRig();
    const { runId, live, text } = await finishedAnswer(120);
    const epoch = await epochOf();
    const last = live.at(-1)?.offset ?? 0;
    for (let offset = 0; offset <= last; offset += 1) {
      const before = live.filter((event) => event.offset <= offset);
      const rest = await rig.seen({ epoch, offset });
      // A live delta may be several merged records. A delta that ends after the cut was not received whole, so not at
      // all.
      if (before.at(-1)?.offset !== offset && offset > 2) continue;
      expect(joinAnswer([...before, ...rest], runId)).toBe(text);
      expect(rest.every((event) => event.offset > offset)).toBe(true);
    }
  });

  it('sends at most five events when an answer of 5,000 tokens has ended', async () => {
    rig = new ChatRig();
    const { runId, text } = await finishedAnswer(5000);
    const epoch = await epochOf();
    const all = await rig.seen();
    expect(all.map((event) => event.type)).toEqual([
      'message.created',
      'run.queued',
      'run.started',
      'delta',
      'run.completed',
    ]);
    expect(joinAnswer(all, runId)).toBe(text);
    for (const offset of [2, 3, 17, 60]) expect((await rig.seen({ epoch, offset })).length).toBeLessThanOrEqual(2);
  });

  it('sends the merged prefix, then live deltas, each once, when a reader joins in the middle of an answer', async () => {
    rig = new ChatRig();
    rig.startWorker();
    const { runId } = await rig.prompt('count');
    const call = await rig.model.call(0);
    for (let i = 0; i < 300; i += 1) call.say(`${i} `);
    await eventually(async () => joinAnswer(await rig.seen(), runId).endsWith('299 '));
    const late = rig.view();
    await eventually(() => late.sink.controls.length > 0);
    const caughtUp = late.sink.events.filter((event) => event.type === 'delta').length;
    expect(caughtUp).toBe(1);
    call.say('live ').finish();
    await eventually(() => late.sink.events.some((event) => TERMINAL.test(event.type)));
    expect(joinAnswer(late.sink.events, runId)).toBe(`${Array.from({ length: 300 }, (_, i) => `${i} `).join('')}live `);
  });

  it('holds no more than its bound and sends the rest merged when a slow reader reads again', async () => {
    rig = new ChatRig();
    rig.startWorker();
    const { runId } = await rig.prompt('count');
    const quick = rig.view();
    const slow = rig.view();
    await eventually(() => slow.sink.controls.length > 0);
    slow.sink.isStuck = true;
    const call = await rig.model.call(0);
    const piece = 'x'.repeat(10_000);
    for (let i = 0; i < 100; i += 1) {
      call.say(piece);
      await eventually(() => joinAnswer(quick.sink.events, runId).length === (i + 1) * piece.length);
    }
    expect(slow.sink.maxBuffered).toBeLessThan(320 * 1024);
    call.finish();
    await eventually(() => quick.sink.events.some((event) => TERMINAL.test(event.type)));
    slow.sink.drain();
    await eventually(() => slow.sink.events.some((event) => TERMINAL.test(event.type)));
    expect(joinAnswer(slow.sink.events, runId)).toBe(piece.repeat(100));
    expect(rig.fellBehind.length).toBeGreaterThan(0);
  });

  it('sends a reset and ends when an undeclared record is missing', async () => {
    await startWithoutRecord(3);
    const viewer = rig.view({ epoch: 'e', offset: 0 }, { onReset: 'close' });
    await viewer.running;
    expect(viewer.sink.controls).toMatchObject([{ type: 'reset', reason: 'undeclared-hole' }]);
    expect(viewer.sink.events).toEqual([]);
  });

  it('restarts once and then fails when an undeclared record stays missing', async () => {
    await startWithoutRecord(3);
    const viewer = rig.view({ epoch: 'e', offset: 0 });
    await expect(viewer.running).rejects.toMatchObject({ code: 'corrupt' });
    expect(viewer.sink.controls).toMatchObject([{ type: 'reset', reason: 'undeclared-hole' }]);
    // The failed rig would throw the same error when it closes.
    rig = new ChatRig();
  });

  it('sends the reset of a removed chat when the store lost the topic and its tombstone', async () => {
    const clock = new ManualClock();
    const inner = new MemoryBroker({ clock, newEpoch: () => 'e' });
    rig = new ChatRig({ broker: inner, clock });
    await rig.prompt('hello');
    const live = rig.view();
    await eventually(() => live.sink.controls.length > 0);
    await rig.prompt('more');
    await eventually(() => live.sink.events.length === 4);
    inner.read = () => Promise.resolve({ kind: 'missing' });
    // The second reader arrives while the first still follows the topic: the node has not noticed the loss of the chat
    // yet.
    const late = rig.view({ epoch: 'e', offset: 1 });
    await late.running;
    expect(late.sink.controls).toEqual([{ type: 'reset', reason: 'removed', epoch: 'e', earliest: 0, next: 2 }]);
    inner.describe = () => Promise.resolve([undefined]);
    await inner.remove(chatTopic(rig.ref));
    await live.running;
    expect(live.sink.controls.at(-1)).toEqual({ type: 'reset', reason: 'removed', epoch: 'e', earliest: 0, next: 4 });
    expect([late, live].map(({ sink }) => sink.ended)).toEqual(['removed', 'removed']);
  });

  it('sends a reset to each reader and ends when the chat is removed', async () => {
    rig = new ChatRig();
    await rig.prompt('hello');
    const viewers = [rig.view(), rig.view(), rig.view()];
    await eventually(() => viewers.every((viewer) => viewer.sink.controls.length > 0));
    await rig.sessions.remove(rig.alice, rig.ref);
    for (const viewer of viewers) {
      await viewer.running;
      expect(viewer.sink.controls.at(-1)).toMatchObject({ type: 'reset', reason: 'removed' });
      expect(viewer.sink.ended).toBe('removed');
    }
  });

  it('sends a reset and restarts at the earliest record when the position is of another epoch', async () => {
    rig = new ChatRig();
    await rig.prompt('hello');
    const viewer = rig.view({ epoch: 'other', offset: 7 });
    await eventually(() => viewer.sink.controls.some((control) => control.type === 'live'));
    expect(viewer.sink.controls[0]).toMatchObject({ type: 'reset', reason: 'epoch-changed', earliest: 0 });
    expect(viewer.sink.events.map((event) => event.type)).toEqual(['message.created', 'run.queued']);
    const strict = rig.view({ epoch: await epochOf(), offset: 99 }, { onReset: 'close' });
    await strict.running;
    expect(strict.sink.controls).toMatchObject([{ type: 'reset', reason: 'ahead-of-log' }]);
    expect(strict.sink.ended).toBe('reset');
  });

  it('keeps a chat from expiring when a reader follows it', async () => {
    rig = new ChatRig();
    await rig.sessions.create(rig.alice, rig.ref, { ttlMs: 60_000 });
    const viewer = rig.view();
    await eventually(() => viewer.sink.controls.length > 0);
    await rig.clock.advance(10 * 60_000);
    expect(viewer.sink.ended).toBeUndefined();
    await viewer.leave();
    await rig.clock.advance(120_000);
    expect(await rig.log.load(rig.ref)).toBeUndefined();
  });

  it('keeps a chat of short time to live when a reader follows it, also after a run; a queued run keeps it without a reader', async () => {
    rig = new ChatRig();
    await rig.sessions.create(rig.alice, rig.ref, { ttlMs: 60_000 });
    const { runId } = await rig.prompt('nobody serves this yet');
    await rig.clock.advance(3 * 24 * 3_600_000);
    expect((await rig.log.load(rig.ref))?.state.runs).toHaveLength(1);
    rig.startWorker();
    const viewer = rig.view();
    (await rig.model.call(0)).say('late').finish();
    await eventually(() =>
      viewer.sink.events.some((event) => event.type === 'run.completed' && event.data['runId'] === runId),
    );
    await rig.clock.advance(10 * 60_000);
    expect(viewer.sink.ended).toBeUndefined();
    await viewer.leave();
    await rig.clock.advance(120_000);
    expect(await rig.log.load(rig.ref)).toBeUndefined();
  });

  it('ends as idle when no run is active or queued any more', async () => {
    rig = new ChatRig();
    rig.startWorker();
    const idleAt = async (): Promise<number | undefined> => {
      const loaded = await rig.log.load(rig.ref);
      return loaded?.state.runs.length === 0 ? loaded.at : undefined;
    };
    const first = await rig.prompt('a');
    const second = await rig.prompt('b');
    const viewer = rig.view(undefined, { idleAt });
    (await rig.model.call(0)).say('A').finish();
    (await rig.model.call(1)).say('B').finish();
    await viewer.running;
    expect(viewer.sink.ended).toBe('idle');
    expect(viewer.sink.controls).toMatchObject([{ type: 'live' }]);
    expect(joinAnswer(viewer.sink.events, first.runId)).toBe('A');
    expect(joinAnswer(viewer.sink.events, second.runId)).toBe('B');
  });
});

type Step =
  | { do: 'say'; text: string }
  | { do: 'reason'; text: string }
  | { do: 'burst'; n: number }
  | { do: 'prompt' | 'settle' | 'handover' | 'fail' | 'finish' | 'cancel' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('say' as const),
      text: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('reason' as const), text: fc.string({ minLength: 1, maxLength: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('burst' as const), n: fc.integer({ min: 1, max: 20 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'prompt' as const,
        'settle' as const,
        'settle' as const,
        'handover' as const,
        'fail' as const,
        'finish' as const,
        'cancel' as const,
      ),
    }),
  },
);

describe('Any history of a chat', () => {
  it('joins to the same answers when a reader is live, is late, or is cut anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), fc.boolean(), async (steps, canContinue) => {
        rig = new ChatRig();
        rig.model.canContinue = canContinue;
        const runIds = [(await rig.prompt('p')).runId];
        const live = rig.view();
        await play(steps, runIds);
        await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
        await eventually(() => live.sink.events.filter((event) => TERMINAL.test(event.type)).length === runIds.length);
        await checkEveryCut(live.sink.events, runIds);
        await rig.close();
      }),
      { numRuns: 60 },
    );
  });
});

async function play(steps: readonly Step[], runIds: string[]): Promise<void> {
  let worker: Worker = rig.startWorker();
  for (const { do: what, ...more } of [...steps, { do: 'settle' as const }]) {
    const call = rig.model.calls.at(-1);
    if (what === 'say' && 'text' in more) call?.say(more.text);
    if (what === 'reason' && 'text' in more) call?.say({ type: 'reasoning', text: more.text });
    if (what === 'burst' && 'n' in more) for (let i = 0; i < more.n; i += 1) call?.say(`${i} `);
    if (what === 'prompt') runIds.push((await rig.prompt(`p${runIds.length}`)).runId);
    if (what === 'finish') call?.finish();
    if (what === 'fail') call?.fail(new ProviderError('upstream-error', 'failed'));
    if (what === 'cancel') await rig.runs.cancel(rig.alice, rig.ref, undefined).catch(() => undefined);
    if (what === 'settle') await rig.clock.advance(1100);
    if (what === 'handover') {
      await worker.close();
      worker = rig.startWorker();
      await rig.clock.advance(1100);
    }
  }
  // Finishes the open runs, one after the other.
  await eventually(async () => {
    rig.model.calls.at(-1)?.finish();
    await rig.clock.advance(1100);
    return (await rig.log.load(rig.ref))?.state.runs.length === 0;
  });
}

async function checkEveryCut(live: readonly SeenEvent[], runIds: readonly string[]): Promise<void> {
  const epoch = await epochOf();
  const fresh = await rig.seen();
  const history = await rig.sessions.history(rig.alice, rig.ref, 200, undefined);
  for (const runId of runIds) {
    const answer = joinAnswer(live, runId);
    expect(joinAnswer(fresh, runId)).toBe(answer);
    const stored = history.messages.find((message) => message.role === 'assistant' && message.runId === runId);
    const texts = stored?.parts?.map((part) => part.text).join('\n') ?? stored?.content ?? '';
    expect(texts).toBe(answer);
    expect(live.filter((event) => event.data['runId'] === runId && TERMINAL.test(event.type))).toHaveLength(1);
  }
  for (let cut = 0; cut < live.length; cut += 1) {
    const before = live.slice(0, cut + 1);
    const rest = await rig.seen({ epoch, offset: live[cut]?.offset ?? 0 });
    const offsets = [...before, ...rest].map((event) => event.offset);
    expect(offsets.every((offset, i) => i === 0 || offset > (offsets[i - 1] ?? -1))).toBe(true);
    for (const runId of runIds) expect(joinAnswer([...before, ...rest], runId)).toBe(joinAnswer(live, runId));
  }
}
