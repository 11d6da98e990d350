// When a run was sent, started, emitted its first token and ended: as its owner reads it, and as the log line reports
// it.
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { reportGone, reportRun } from '../../src/cli/run-report.ts';
import { Connections } from '../../src/gateway/connections/connections.ts';
import { Metrics } from '../../src/gateway/metrics.ts';
import { encodeEvent } from '../../src/session/events/chat-event.ts';
import type { EndedRun, GoneRun } from '../../src/session/commands/command-log.ts';
import { runFigures } from '../../src/session/commands/run-figures.ts';
import type { RunTimeline } from '../../src/session/history/run-timeline.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ProviderError } from '../../src/worker/provider.ts';
import { ChatRig, joinAnswer, type PlayedCall, type RigOptions } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;
let ends: EndedRun[];

function setup(options: RigOptions = {}): ChatRig {
  ends = [];
  rig = new ChatRig({ ...options, onRunEnded: (ended) => ends.push(ended) });
  return rig;
}

afterEach(async () => {
  await rig.close();
});

async function timelines(): Promise<readonly RunTimeline[]> {
  return (await rig.sessions.runs(rig.alice, rig.ref, 20, undefined)).runs;
}

async function ended(runId: string): Promise<RunTimeline> {
  let found: RunTimeline | undefined;
  await eventually(async () => {
    found = (await timelines()).find((run) => run.runId === runId);
    return found?.endedAt !== undefined;
  });
  if (found === undefined) throw new Error('no such run');
  return found;
}

/** Emits the text, and waits until it can be read, so that its time is the clock's time now. */
async function said(runId: string, index: number, text: string): Promise<void> {
  (await rig.model.call(index)).say(text);
  await eventually(async () => joinAnswer(await rig.seen(), runId).endsWith(text));
}

const at = (ms: number): string => new Date(Date.UTC(2026, 0, 1) + ms).toISOString();

describe('a timeline', () => {
  it('gives the times of waiting, of silence and of the answer, and the speed', async () => {
    setup();
    const { runId, messageId } = await rig.prompt('hello');
    await rig.clock.advance(300);
    expect(await timelines()).toEqual([
      { runId, messageId, agent: 'default', model: '', state: 'queued', queuedAt: at(0), attempts: [] },
    ]);
    rig.startWorker();
    const call = await rig.model.call(0);
    expect((await timelines())[0]).toMatchObject({
      state: 'running',
      attempts: [{ attempt: 1, startedAt: at(300) }],
      waitedMs: 300,
    });
    await rig.clock.advance(200);
    await said(runId, 0, 'one ');
    await rig.clock.advance(1000);
    call.say('two ', 'three').finish();
    expect(await ended(runId)).toEqual({
      runId,
      messageId,
      agent: 'default',
      model: '',
      state: 'completed',
      queuedAt: at(0),
      attempts: [{ attempt: 1, startedAt: at(300) }],
      firstTokenAt: at(500),
      endedAt: at(1500),
      finishReason: 'stop',
      usage: { inputTokens: 1, outputTokens: 2 },
      deltas: 3,
      waitedMs: 300,
      firstTokenMs: 200,
      durationMs: 1200,
      tokensPerSecond: 2,
    });
  });

  it('names every attempt of a run that was taken over, and no first token when its attempt was lost', async () => {
    setup({ leaseMs: 1000 });
    const worker = rig.startWorker(1);
    const { runId } = await rig.prompt('hello');
    await said(runId, 0, 'one ');
    await worker.close();
    await rig.clock.advance(5000);
    rig.startWorker();
    await said(runId, 1, 'two ');
    await rig.clock.advance(500);
    (await rig.model.call(1)).finish();
    const run = await ended(runId);
    expect(run).toMatchObject({
      attempts: [
        { attempt: 1, startedAt: at(0) },
        { attempt: 2, startedAt: at(5000) },
      ],
      durationMs: 5500,
      deltas: 1,
    });
    expect(run.firstTokenMs).toBeUndefined();
  });

  it('gives the time of a stop request, and counts pieces when the provider reports no usage', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    await said(runId, 0, 'one ');
    await rig.clock.advance(2000);
    await rig.runs.cancel(rig.alice, rig.ref, undefined);
    expect(await ended(runId)).toMatchObject({
      state: 'cancelled',
      cancellingAt: at(2000),
      endedAt: at(2000),
      cancelMs: 0,
      deltas: 1,
      deltasPerSecond: 0.5,
    });
  });

  const HOUR_MS = 3_600_000;
  const stages = [
    'while it waits',
    'before a worker is there',
    'before its first token',
    'while it speaks',
    'right before its end',
  ] as const;
  it.each(
    stages.flatMap(
      (stage) =>
        [
          [stage, HOUR_MS],
          [stage, -HOUR_MS],
        ] as const,
    ),
  )('has the same figures when the wall clock is set %s (by %i ms)', async (stage, jumpMs) => {
    setup();
    const jumpAt = (now: (typeof stages)[number]): void => {
      if (now === stage) rig.clock.jumpWall(jumpMs);
    };
    const { runId } = await rig.prompt('hello');
    await rig.clock.advance(100);
    jumpAt('while it waits');
    await rig.clock.advance(200);
    jumpAt('before a worker is there');
    rig.startWorker();
    const call = await rig.model.call(0);
    jumpAt('before its first token');
    await rig.clock.advance(200);
    await said(runId, 0, 'one ');
    jumpAt('while it speaks');
    await rig.clock.advance(1000);
    jumpAt('right before its end');
    call.say('two ', 'three').finish();
    const run = await ended(runId);
    expect(run).toMatchObject({ waitedMs: 300, firstTokenMs: 200, durationMs: 1200, tokensPerSecond: 2 });
    // The log line and the metrics agree with it.
    expect(ends.map((one) => runFigures(one.run.times, one.run.attempt, one.terminal))).toMatchObject([
      { waitedMs: 300, durationMs: 1200 },
    ]);
  });

  it.each([HOUR_MS, -HOUR_MS])(
    'has the same figures of a stop when the wall clock is set before it and after it (by %i ms)',
    async (jumpMs) => {
      setup().startWorker();
      const { runId } = await rig.prompt('hello');
      await said(runId, 0, 'one ');
      await rig.clock.advance(2000);
      rig.clock.jumpWall(jumpMs);
      const other = rig.otherNode();
      await rig.runs.cancel(rig.alice, rig.ref, undefined);
      expect(await ended(runId)).toMatchObject({
        state: 'cancelled',
        durationMs: 2000,
        cancelMs: 0,
        deltasPerSecond: 0.5,
      });
      // A node that began after the jump does not know of it: it reports no figure instead of a wrong one.
      const { runId: next } = await rig.prompt('again');
      await said(next, 1, 'one ');
      rig.clock.jumpWall(jumpMs);
      await other.runs.cancel(rig.alice, rig.ref, undefined);
      const run = await ended(next);
      expect([run.durationMs, run.cancelMs].every((ms) => ms === undefined || ms < 1000)).toBe(true);
    },
  );

  it.each([HOUR_MS, -HOUR_MS])(
    'has the same figures of a run that a new prompt interrupts after the wall clock was set (by %i ms)',
    async (jumpMs) => {
      setup().startWorker();
      const { runId } = await rig.prompt('hello');
      await said(runId, 0, 'one ');
      await rig.clock.advance(2000);
      rig.clock.jumpWall(jumpMs);
      await rig.prompt('now', { onBusy: 'interrupt' });
      expect(await ended(runId)).toMatchObject({ state: 'cancelled', durationMs: 2000, cancelMs: 0 });
    },
  );

  it('of a withdrawn prompt has no start', async () => {
    setup();
    const { runId } = await rig.prompt('hello');
    await rig.clock.advance(40);
    await rig.runs.cancel(rig.alice, rig.ref, runId);
    const run = await ended(runId);
    expect(run).toMatchObject({ state: 'cancelled', attempts: [], endedAt: at(40) });
    expect(run.durationMs).toBeUndefined();
  });

  it('comes in pages, newest first, each run whole, also when it ended after newer runs were sent', async () => {
    setup().startWorker();
    const sent: string[] = [];
    for (let i = 0; i < 5; i += 1) sent.push((await rig.prompt(`prompt ${i}`)).runId);
    for (let i = 0; i < 5; i += 1) (await rig.model.call(i)).say('x').finish();
    await ended(sent.at(-1) ?? '');
    const seen: RunTimeline[] = [];
    let before: number | undefined;
    const sizes: number[] = [];
    do {
      const position = before === undefined ? undefined : { epoch: 'e2', offset: before };
      const page = await rig.sessions.runs(rig.alice, rig.ref, 2, position);
      seen.push(...page.runs);
      sizes.push(page.runs.length);
      before = page.before;
    } while (before !== undefined);
    expect(sizes).toEqual([2, 2, 1]);
    expect(seen.map((run) => run.runId)).toEqual(sent.toReversed());
    expect(seen.map((run) => run.state)).toEqual(Array.from({ length: 5 }, () => 'completed'));
  });

  it('costs no read of the tokens', async () => {
    setup();
    const { runId } = await rig.prompt('hello');
    const epoch = (await rig.log.load(rig.ref))?.epoch ?? '';
    const delta = encodeEvent({ type: 'delta', runId, messageId: 'a', part: 0, kind: 'text', at: 0, text: 'x' });
    await rig.broker.append([
      { topic: chatTopic(rig.ref), records: Array.from({ length: 500 }, () => delta), expect: { epoch } },
    ]);
    let items = 0;
    const read = rig.broker.read.bind(rig.broker);
    rig.broker.read = async (...args) => {
      const result = await read(...args);
      if (result.kind === 'batch') items += result.items.length;
      return result;
    };
    expect(await timelines()).toHaveLength(1);
    expect(items).toBeLessThan(10);
  });
});

describe('the end of a run', () => {
  it.each([
    ['is silent', () => undefined],
    ['goes on', (call: PlayedCall) => void call.say('more')],
    ['finishes', (call: PlayedCall) => call.finish()],
    ['fails', (call: PlayedCall) => call.fail(new ProviderError('upstream-error', 'it failed'))],
  ])('whose chat is removed is one line in the log with the outcome gone, when the model %s', async (_what, then) => {
    const gone: GoneRun[] = [];
    setup({ onGone: (one) => gone.push(one) });
    const worker = rig.startWorker();
    const { runId } = await rig.prompt('a secret question');
    await rig.clock.advance(100);
    const call = await rig.model.call(0);
    await said(runId, 0, 'a secret answer');
    await rig.clock.advance(50);
    await rig.sessions.remove(rig.alice, rig.ref);
    then(call);
    await eventually(() => worker.activeRuns === 0);
    const lines: string[] = [];
    const metrics = new Metrics(new Connections(rig.clock), {});
    for (const one of gone)
      reportGone(pino({ base: null }, { write: (line: string) => void lines.push(line) }), metrics, one);
    metrics.close();
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      msg: 'run ended',
      sessionId: 's1',
      runId,
      agent: 'default',
      attempts: 1,
      outcome: 'gone',
      waitedMs: 0,
      durationMs: 150,
    });
    expect(lines.join()).not.toContain('secret');
    expect(ends).toEqual([]);
  });

  it('is reported once, by the worker or by the node that received the stop', async () => {
    setup().startWorker();
    const first = await rig.prompt('a');
    const second = await rig.prompt('b');
    await rig.runs.cancel(rig.alice, rig.ref, second.runId);
    (await rig.model.call(0)).say('A').finish();
    await ended(first.runId);
    expect(ends.map(({ run, terminal }) => [run.runId, terminal.type])).toEqual([
      [second.runId, 'run.cancelled'],
      [first.runId, 'run.completed'],
    ]);
  });

  it('is one log line of ids and figures without the text of the answer, and is counted', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('a secret question');
    await rig.clock.advance(100);
    (await rig.model.call(0)).say('a secret answer').finish();
    await ended(runId);
    const lines: string[] = [];
    const metrics = new Metrics(new Connections(rig.clock), {});
    const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) });
    for (const end of ends) reportRun(logger, metrics, end);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      msg: 'run ended',
      tenant: 'default',
      sessionId: 's1',
      runId,
      agent: 'default',
      attempts: 1,
      outcome: 'run.completed',
      finishReason: 'stop',
      usage: { inputTokens: 1, outputTokens: 2 },
      deltas: 1,
      waitedMs: 0,
      durationMs: 100,
    });
    expect(lines.join()).not.toContain('secret');
    const text = await metrics.text();
    metrics.close();
    expect(text).toContain('holdline_run_duration_ms_bucket{le="100"} 1');
    expect(text).toContain('holdline_run_first_token_ms_count 1');
    expect(text).toContain('holdline_takeovers_total 0');
  });
});
