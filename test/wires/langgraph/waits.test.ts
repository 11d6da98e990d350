// A run that waits for a human, through the real LangGraph SDK: each leg is a run for it. Asked, answered, refused,
// expired, stopped, and with a connection that breaks in the next leg.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NewWait } from '../../../src/session/waits/new-wait.ts';
import { eventually } from '../../support/wait-for.ts';
import { APPROVAL, BOTH, PAST_EXPIRY_MS, QUESTION, TOOL } from '../../support/waits.ts';
import {
  follow,
  has,
  hurryReconnects,
  inputOf,
  MODES,
  runOf,
  start,
  status,
  streamOf,
  textOf,
  type LangGraph,
  type Part,
} from './langgraph-rig.ts';

beforeEach(hurryReconnects);

afterEach(() => {
  vi.restoreAllMocks();
});

interface Asking {
  readonly run: { readonly run_id: string; readonly thread_id: string };
  readonly parts: readonly Part[];
  /** Of the interrupts. */
  readonly ids: readonly string[];
}

/** A run that has said `one `, has called a tool, and asks. */
async function asking(h: LangGraph, wait: NewWait): Promise<Asking> {
  const parts = follow(h.client.runs.stream('t', 'default', { ...streamOf('go'), ifNotExists: 'create' }));
  const run = await runOf(parts);
  const worker = await h.take(run);
  const { runId } = worker.run;
  await worker.say('one ');
  await worker.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', toolCallId: 'c', toolName: 'pay' });
  await worker.sayIn(1, 'tool-call', '{}');
  await worker.ask(wait);
  const all = await parts.ended();
  return { run, parts: all, ids: interruptsOf(all).map(({ id }) => id) };
}

interface Interrupt {
  readonly id: string;
  readonly value: Readonly<Record<string, unknown>>;
}

function interruptsOf(parts: readonly Part[]): readonly Interrupt[] {
  const values = parts.filter(({ event }) => event === 'values').at(-1)?.data as { __interrupt__?: Interrupt[] };
  return values.__interrupt__ ?? [];
}

async function stateOf(h: LangGraph): Promise<string | undefined> {
  return (await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.runs[0]?.state;
}

/** The request that answers. */
function resuming(resume: unknown) {
  return { command: { resume }, streamMode: [...MODES] };
}

/** The worker of the next leg, of the run as it is named without its leg. */
async function work(h: LangGraph, run: Asking['run']) {
  await eventually(async () => (await stateOf(h)) === 'queued');
  return h.take(run);
}

describe('a run that waits', () => {
  it('ends with an interrupt, and its next leg is another run, which ends with the whole state', async () => {
    const h = await start();
    const { run, parts, ids } = await asking(h, APPROVAL);
    const value = { kind: 'approval', message: 'May I pay?', toolCallId: 'c', toolName: 'pay' };
    expect([parts.at(-1)?.event, interruptsOf(parts)]).toMatchObject(['end', [{ value }]]);
    expect(await h.client.runs.get('t', run.run_id)).toMatchObject({ status: 'interrupted' });
    expect(await h.client.threads.get('t')).toMatchObject({
      status: 'interrupted',
      interrupts: { [run.run_id]: [{ id: ids[0], value }] },
    });
    expect(await h.client.threads.getState('t')).toMatchObject({
      next: ['agent'],
      tasks: [{ id: run.run_id, interrupts: [{ id: ids[0], value }] }],
    });
    expect((await h.client.threads.getHistory('t'))[0]?.tasks[0]?.interrupts).toHaveLength(1);
    expect(await h.client.runs.join('t', run.run_id)).toMatchObject({ __interrupt__: [{ id: ids[0] }] });
    const rest = follow(h.client.runs.stream('t', 'default', resuming({ [ids[0] ?? '']: { approved: true } })));
    const worker = await work(h, run);
    const leg = await runOf(rest);
    expect(leg.run_id).toBe(`${run.run_id}.1`);
    await worker.add({ type: 'tool.result', runId: worker.run.runId, toolCallId: 'c', result: 'paid' });
    await worker.sayIn(2, 'text', 'two');
    await worker.complete();
    const told = await rest.ended();
    expect([textOf(told), told.at(-1)?.event]).toEqual(['two', 'end']);
    const state = { messages: [{ content: 'go' }, { content: 'one two' }, { type: 'tool', content: 'paid' }] };
    expect(told.filter(({ event }) => event === 'values').at(-1)?.data).toMatchObject(state);
    expect(await h.client.runs.join('t', leg.run_id)).toMatchObject(state);
    expect(await h.client.runs.get('t', leg.run_id)).toMatchObject({ run_id: leg.run_id, status: 'success' });
    expect(await h.client.runs.get('t', run.run_id)).toMatchObject({ run_id: run.run_id, status: 'interrupted' });
    // The reply to the answer was lost: sent again behind the end, it is the same.
    const again = { command: { resume: { [ids[0] ?? '']: { approved: true } } } };
    expect(await h.client.runs.create('t', 'default', again)).toMatchObject({ run_id: leg.run_id, status: 'success' });
    const other = { command: { resume: { [ids[0] ?? '']: false } } };
    await expect(h.client.runs.create('t', 'default', other)).rejects.toEqual(status(409));
    // Joined later, each leg is its own part of the answer.
    const [first, second] = [run.run_id, leg.run_id].map((id) => follow(h.client.runs.joinStream('t', id)));
    expect(textOf((await first?.ended()) ?? [])).toBe('one ');
    expect(textOf((await second?.ended()) ?? [])).toBe('two');
    await expect(h.client.runs.get('t', `${run.run_id}.2`)).rejects.toEqual(status(404));
  });

  it('is over for who joins that leg while the next one runs, and has no leg behind that one', async () => {
    const h = await start();
    const { run } = await asking(h, APPROVAL);
    const notBegun = `${run.run_id}.1`;
    await expect(h.client.runs.join('t', notBegun)).rejects.toEqual(status(404));
    await h.client.runs.create('t', 'default', { command: { resume: true } });
    const joined = { messages: [{ content: 'go' }, { content: 'one ' }] };
    expect(await h.client.runs.join('t', run.run_id)).toMatchObject(joined);
    const worker = await work(h, run);
    await worker.sayIn(2, 'text', 'two');
    expect(await h.client.runs.join('t', run.run_id)).not.toHaveProperty('__interrupt__');
    const parts = await follow(h.client.runs.joinStream('t', run.run_id, { streamMode: [...MODES] })).ended();
    expect([textOf(parts), parts.at(-1)?.event]).toEqual(['one ', 'end']);
    expect(await h.client.runs.get('t', run.run_id)).toMatchObject({ status: 'interrupted' });
    expect(await h.client.runs.get('t', `${run.run_id}.1`)).toMatchObject({ status: 'running' });
    const beyond = `${run.run_id}.2`;
    await expect(h.client.runs.get('t', beyond)).rejects.toEqual(status(404));
    await expect(h.client.runs.join('t', beyond)).rejects.toEqual(status(404));
    await expect(follow(h.client.runs.joinStream('t', beyond)).ended()).rejects.toEqual(status(404));
    await expect(h.client.runs.cancel('t', beyond)).rejects.toEqual(status(404));
    expect(await stateOf(h)).toBe('running');
    await worker.complete();
    expect(await h.client.runs.get('t', run.run_id)).toMatchObject({ status: 'interrupted' });
  });

  it('is exact when the connection of the next leg breaks ten times, and the client comes back by itself', async () => {
    const h = await start();
    const { run, ids } = await asking(h, QUESTION);
    const rest = follow(h.client.runs.stream('t', 'default', resuming('large')));
    const worker = await work(h, run);
    let said = '';
    for (let i = 0; i < 10; i += 1) {
      await worker.sayIn(2, 'text', `${i} `);
      said += `${i} `;
      await rest.until((seen) => textOf(seen) === said);
      h.cut();
    }
    await worker.complete();
    expect([textOf(await rest.ended()), ids.length]).toEqual([said, 1]);
  });

  it('takes several answers by their ids, asks again, and is waited for', async () => {
    const h = await start();
    const { run, ids } = await asking(h, BOTH);
    const [pay = '', size = ''] = ids;
    const half = await h.client.runs.create('t', 'default', { command: { resume: { [pay]: false } } });
    expect(half).toMatchObject({ run_id: run.run_id, status: 'interrupted' });
    const waited = h.client.runs.wait('t', 'default', { command: { resume: { [pay]: false, [size]: 'large' } } });
    const worker = await work(h, run);
    await worker.ask(TOOL);
    const asked = (await waited) as { __interrupt__: Interrupt[] };
    expect(asked.__interrupt__).toMatchObject([{ value: { kind: 'tool', toolName: 'look' } }]);
    const last = await h.client.runs.create('t', 'default', { command: { resume: { seen: 'a chair' } } });
    expect(last).toMatchObject({ run_id: `${run.run_id}.2`, status: 'pending' });
    const again = await h.client.runs.create('t', 'default', {
      command: { resume: { [asked.__interrupt__[0]?.id ?? '']: { seen: 'a chair' } } },
    });
    expect(again.run_id).toBe(last.run_id);
    const final = await work(h, run);
    await final.sayIn(2, 'text', 'two');
    await final.complete();
    const parts = await follow(h.client.runs.joinStream('t', last.run_id)).ended();
    const state = parts.filter(({ event }) => event === 'values').at(-1)?.data;
    const seen = { type: 'tool', content: '{"seen":"a chair"}' };
    expect(state).toMatchObject({ messages: [{ content: 'go' }, { content: 'one two' }, seen] });
  });

  it('is refused another answer, one that does not fit or names nothing, and other commands', async () => {
    const h = await start();
    const { ids } = await asking(h, BOTH);
    const [pay = '', size = ''] = ids;
    await h.client.runs.create('t', 'default', { command: { resume: { [pay]: true } } });
    const refusal = async (command: object, as = 'ann', thread = 't'): Promise<unknown> => {
      const body = { assistant_id: 'default', command };
      const answer = await h.call('POST', `/langgraph/threads/${thread}/runs`, as, body);
      return [answer.status, answer.body['code'], String(answer.body['detail']).split(':')[0]];
    };
    expect([
      await refusal({ resume: { [pay]: false } }),
      await refusal({ resume: { [size]: 'huge' } }),
      await refusal({ resume: { [size]: 'large', none: 1 } }),
      await refusal({ resume: { [size]: 'large' } }, 'eve'),
      await refusal({ goto: 'agent' }),
      await refusal({}),
    ]).toEqual([
      [409, 'already-answered', expect.any(String)],
      [400, 'invalid-answer', expect.any(String)],
      [400, 'invalid-request', 'command.resume'],
      [404, 'not-found', expect.any(String)],
      [400, 'invalid-request', 'command.goto'],
      [400, 'invalid-request', 'command.resume'],
    ]);
    expect(await stateOf(h)).toBe('waiting');
    await h.client.threads.create({ threadId: 'idle' });
    expect(await refusal({ resume: true }, 'ann', 'idle')).toEqual([409, 'not-waiting', 'no run waits']);
    const without = h.client.runs.create(null, 'default', { command: { resume: true } });
    await expect(without).rejects.toEqual(status(400));
  });

  it('goes on when its time is over, and is stopped with a prompt behind it', async () => {
    const h = await start();
    const { run, ids } = await asking(h, APPROVAL);
    const next = await h.client.runs.create('t', 'default', inputOf('next'));
    expect([next.status, await stateOf(h)]).toEqual(['pending', 'waiting']);
    await h.clock.advance(PAST_EXPIRY_MS);
    const late = h.clientOf('ann');
    const worker = await work(h, run);
    const answer = { command: { resume: { [ids[0] ?? '']: true } } };
    await expect(late.runs.create('t', 'default', answer)).rejects.toEqual(status(409));
    await worker.ask(APPROVAL);
    expect(await late.runs.get('t', `${run.run_id}.1`)).toMatchObject({ status: 'interrupted' });
    await late.runs.cancel('t', `${run.run_id}.1`, true);
    expect(await late.runs.get('t', run.run_id)).toMatchObject({ status: 'interrupted' });
    const parts = follow(late.runs.joinStream('t', `${run.run_id}.1`));
    expect((await parts.ended()).at(-1)).toMatchObject({ event: 'error', data: { error: 'run-cancelled' } });
    await (await h.take(next)).complete();
    const interrupting = await late.runs.create('t', 'default', inputOf('last'));
    const asked = await h.take(interrupting);
    await asked.ask(APPROVAL);
    const instead = { ...inputOf('instead'), multitaskStrategy: 'interrupt' as const };
    const other = await late.runs.create('t', 'default', instead);
    expect(await late.runs.get('t', interrupting.run_id)).toMatchObject({ status: 'interrupted' });
    await (await h.take(other)).complete();
  });

  it('shows a reader that comes in the next leg the text of that leg, and then the rest', async () => {
    const h = await start();
    const { run } = await asking(h, APPROVAL);
    await h.client.runs.create('t', 'default', { command: { resume: true } });
    const worker = await work(h, run);
    await worker.sayIn(2, 'text', 'two ');
    const parts = follow(h.client.runs.joinStream('t', `${run.run_id}.1`, { streamMode: [...MODES] }));
    await parts.until(has('two '));
    await worker.sayIn(2, 'text', 'three');
    await worker.complete();
    expect(textOf(await parts.ended())).toBe('two three');
  });
});
