// MCP: runs that wait for a human, through the real client.
import { describe, expect, it, vi } from 'vitest';
import type { LogItem } from '../../../src/broker/broker.ts';
import { eventually } from '../../support/wait-for.ts';
import { APPROVAL, BOTH, PAST_EXPIRY_MS } from '../../support/waits.ts';
import { start, type Mcp } from './mcp-rig.ts';

/** A run that has said `one ` and asks. */
async function asking(mcp: Mcp, wait = APPROVAL): Promise<string> {
  const { result } = await mcp.tool('start_run', { prompt: 'go', session: 's' });
  const waited = mcp.tool('get_run', { run: result.run, wait_ms: 20_000 });
  await eventually(async () => (await mcp.gateway.metrics.text()).includes('wire="mcp"} 1'));
  const worker = await mcp.take(result.run);
  await worker.say('one ');
  await worker.ask(wait);
  expect((await waited).result).toMatchObject({ state: 'waiting', text: 'one ' });
  return result.run ?? '';
}

async function finish(mcp: Mcp, run: string): Promise<void> {
  const worker = await mcp.take(run);
  await worker.sayIn(1, 'text', 'two');
  await worker.complete();
}

const codeOf = async (called: ReturnType<Mcp['tool']>): Promise<unknown> => (await called).result.error?.code;

describe.each(['modern', 'handshake'] as const)('a run that waits, for a client of the era `%s`', (era) => {
  it('says what it asks for, and goes on with the answer', async () => {
    const mcp = await start(era);
    const run = await asking(mcp);
    // The clock of the gateway stands still: a wait for what is so already would not end.
    const { inputs = [], state } = (await mcp.tool('get_run', { run, wait_ms: 20_000 })).result;
    expect(state).toBe('waiting');
    expect(inputs).toMatchObject([{ kind: 'approval', message: 'May I pay?', toolName: 'pay', toolCallId: 'c' }]);
    const answer = { run, input: inputs[0]?.input, approved: true, reason: 'fine' };
    const answered = (await mcp.tool('answer_run', answer)).result;
    expect([answered.state === 'waiting', answered.inputs]).toEqual([false, undefined]);
    await finish(mcp, run);
    expect((await mcp.tool('get_run', { run })).result).toMatchObject({ state: 'completed', text: 'one two' });
    expect((await mcp.tool('answer_run', answer)).result).toMatchObject({ state: 'completed' });
  });
});

describe('a run whose question is lost in the storage', () => {
  it('is said to wait, takes no answer, and can be stopped', async () => {
    const mcp = await start();
    const read = mcp.broker.read.bind(mcp.broker);
    const run = await asking(mcp);
    vi.spyOn(mcp.broker, 'read').mockImplementation(async (...args) => {
      const result = await read(...args);
      return result.kind === 'batch' ? { ...result, items: result.items.map(withoutQuestion) } : result;
    });
    const { state, inputs, text } = (await mcp.tool('get_run', { run })).result;
    expect([state, inputs, text]).toEqual(['waiting', undefined, 'one ']);
    const [sessionId = '', runId = ''] = run.split('.');
    const asked = await mcp.call('GET', `/v1/sessions/${sessionId}`, 'ann');
    expect(asked.body['activeRun']).toMatchObject({ runId, state: 'waiting' });
    const [input] = (asked.body['activeRun'] as { readonly inputs: readonly string[] }).inputs;
    expect(await codeOf(mcp.tool('answer_run', { run, input, approved: true }))).toBe('chat-damaged');
    expect((await mcp.tool('stop_run', { run })).result).toMatchObject({ state: 'cancelled', text: 'one ' });
  });
});

function withoutQuestion(item: LogItem): LogItem {
  return item.kind === 'record' && item.data.includes('May I pay?') ? { ...item, data: '{' } : item;
}

describe('answer_run', () => {
  it('refuses another answer, one that does not fit, and a foreign run', async () => {
    const mcp = await start();
    const run = await asking(mcp, BOTH);
    const { inputs = [] } = (await mcp.tool('get_run', { run })).result;
    const [pay, size] = inputs.map(({ input }) => input);
    const half = (await mcp.tool('answer_run', { run, input: pay, approved: false })).result;
    expect([half.state, half.inputs?.map(({ input }) => input)]).toEqual(['waiting', [size]]);
    const eve = await mcp.connect('eve');
    expect([
      await codeOf(mcp.tool('answer_run', { run, input: pay, approved: true })),
      await codeOf(mcp.tool('answer_run', { run, input: size, value: 'huge' })),
      await codeOf(mcp.tool('answer_run', { run, input: size, approved: 'yes' })),
      await codeOf(mcp.tool('answer_run', { run, input: 'none', value: 'large' })),
      await codeOf(mcp.tool('answer_run', { run, input: size, value: 'large' }, eve)),
    ]).toEqual(['already-answered', 'invalid-answer', 'invalid-arguments', 'input-not-found', 'not-found']);
    expect((await mcp.tool('get_run', { run })).result.state).toBe('waiting');
  });

  it('refuses an input that another run asked for, before and behind the end of that run', async () => {
    const mcp = await start();
    const run = await asking(mcp);
    const { inputs = [] } = (await mcp.tool('get_run', { run })).result;
    const input = inputs[0]?.input ?? '';
    const other = (await mcp.tool('start_run', { prompt: 'next', session: 's' })).result.run;
    const misplaced = async (): Promise<unknown> => {
      const { error } = (await mcp.tool('answer_run', { run: other, input, approved: true })).result;
      return [error?.code, error?.message];
    };
    const refusal = ['input-not-found', 'this run did not ask for such an input'];
    expect(await misplaced()).toEqual(refusal);
    expect((await mcp.tool('get_run', { run })).result.state).toBe('waiting');
    await mcp.tool('answer_run', { run, input, approved: true });
    await finish(mcp, run);
    expect(await misplaced()).toEqual(refusal);
  });

  it('comes too late when the time of the wait is over, and when the run is stopped', async () => {
    const mcp = await start();
    const expired = await asking(mcp);
    const { inputs = [] } = (await mcp.tool('get_run', { run: expired })).result;
    const [{ input } = { input: '' }] = inputs;
    const next = (await mcp.tool('start_run', { prompt: 'next', session: 's' })).result;
    expect(next.state).toBe('queued');
    await mcp.clock.advance(PAST_EXPIRY_MS);
    const late = await mcp.connect('ann');
    const state = async (): Promise<unknown> => (await mcp.tool('get_run', { run: expired }, late)).result.state;
    await eventually(async () => (await state()) !== 'waiting');
    expect(await codeOf(mcp.tool('answer_run', { run: expired, input, approved: true }, late))).toBe('not-waiting');
    const worker = await mcp.take(expired);
    await worker.ask(APPROVAL);
    expect((await mcp.tool('stop_run', { run: expired }, late)).result).toMatchObject({
      state: 'cancelled',
      text: 'one ',
    });
    await (await mcp.take(next.run)).complete();
  });
});
