// LangGraph: threads and runs through the real SDK over a socket, which resumes a broken stream by itself.
import { Client } from '@langchain/langgraph-sdk';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../../support/wait-for.ts';
import { ANSWER_WAIT_MS } from '../../../src/gateway/run-waits.ts';
import {
  follow,
  has,
  hurryReconnects,
  inputOf,
  runOf,
  start,
  status,
  streamOf,
  textOf,
  type LangGraph,
} from './langgraph-rig.ts';

beforeEach(hurryReconnects);

afterEach(() => {
  vi.restoreAllMocks();
});

describe('threads', () => {
  it('are made, found and read, each once', async () => {
    const { client } = await start();
    const made = await client.threads.create({ graphId: 'default', metadata: { topic: 'tea' }, ttl: 60 });
    expect(made).toMatchObject({
      status: 'idle',
      metadata: { graph_id: 'default', topic: 'tea' },
      values: { messages: [] },
    });
    expect(await client.threads.get(made.thread_id)).toMatchObject({ thread_id: made.thread_id, interrupts: {} });
    expect(await client.threads.getState(made.thread_id)).toMatchObject({
      values: { messages: [] },
      next: [],
      tasks: [],
    });
    await client.threads.create({ threadId: 'mine' });
    await expect(client.threads.create({ threadId: 'mine' })).rejects.toEqual(status(409));
    expect(await client.threads.create({ threadId: 'mine', ifExists: 'do_nothing' })).toMatchObject({
      thread_id: 'mine',
    });
  });

  it('are refused with the name of the field at fault', async () => {
    const h = await start();
    for (const [body, field] of [
      [{ thread_id: 'not an id' }, 'thread_id'],
      [{ if_exists: 'maybe' }, 'if_exists'],
      [{ supersteps: [{}] }, 'supersteps'],
      [{ metadata: [] }, 'metadata'],
      [{ ttl: { ttl: 5, strategy: 'keep_latest' } }, 'ttl.strategy'],
      [{ ttl: 'long' }, 'ttl'],
    ] as const) {
      const answer = await h.call('POST', '/langgraph/threads', 'ann', body);
      expect([answer.status, String(answer.body['detail']).split(':')[0]]).toEqual([400, field]);
    }
  });
});

describe('a streamed run', () => {
  it('is the whole answer, with reasoning, a tool call, its result and the state, and is read later', async () => {
    const h = await start();
    const { thread_id: thread } = await h.client.threads.create();
    let created: unknown;
    const parts = follow(
      h.client.runs.stream(thread, 'default', { ...streamOf('hello', 'm1'), onRunCreated: (run) => (created = run) }),
    );
    const run = await runOf(parts);
    expect(created).toEqual({ run_id: run.run_id, thread_id: thread });
    expect(await h.client.runs.get(thread, run.run_id)).toMatchObject({ status: 'pending', assistant_id: 'default' });
    const worker = await h.take(run);
    const { runId, answerId } = worker.run;
    expect(await h.client.runs.get(thread, runId)).toMatchObject({ status: 'running' });
    await worker.sayIn(0, 'reasoning', 'hm');
    await worker.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', toolCallId: 'c1', toolName: 'look' });
    await worker.sayIn(1, 'tool-call', '{"q":', '"tea"}');
    await worker.add({ type: 'tool.result', runId, toolCallId: 'c1', result: { found: 2 } });
    await worker.sayIn(2, 'text', 'Two ', 'kinds.');
    await parts.until(has('kinds.'));
    expect(await h.client.threads.get(thread)).toMatchObject({ status: 'busy' });
    await worker.complete();
    const seen = await parts.ended();
    expect(seen.map(({ event }) => event).filter((event) => event !== 'messages')).toEqual([
      ...['metadata', 'values', 'values', 'end'],
    ]);
    const ai = {
      type: 'ai',
      id: answerId,
      content: 'Two kinds.',
      additional_kwargs: { reasoning_content: 'hm' },
      tool_calls: [{ name: 'look', args: { q: 'tea' }, id: 'c1' }],
      usage_metadata: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
    };
    const state = {
      messages: [
        { type: 'human', id: 'm1', content: 'hello' },
        ai,
        { type: 'tool', tool_call_id: 'c1', status: 'success', content: '{"found":2}' },
      ],
    };
    expect(seen.findLast(({ event }) => event === 'values')?.data).toMatchObject(state);
    expect(await h.client.runs.join(thread, runId)).toMatchObject(state);
    expect(await h.client.threads.getState(thread)).toMatchObject({
      values: state,
      next: [],
      checkpoint: { checkpoint_id: runId },
    });
    expect(await h.client.runs.get(thread, runId)).toMatchObject({ status: 'success' });
    expect(textOf(await follow(h.client.runs.joinStream(thread, runId)).ended())).toBe('Two kinds.');
    // The client in Python sends a mode that its caller does not name as an empty one.
    const unnamed = h.client.runs.joinStream(thread, runId, { streamMode: '' as 'values' });
    expect(textOf(await follow(unnamed).ended())).toBe('Two kinds.');
  });

  it('is exact when the connection breaks twenty times, and the client comes back by itself', async () => {
    const h = await start();
    const { thread_id: thread } = await h.client.threads.create();
    const input = { ...inputOf('go'), streamMode: ['messages-tuple' as const] };
    const parts = follow(h.client.runs.stream(thread, 'default', input));
    const run = await runOf(parts);
    const worker = await h.take(run);
    let text = '';
    for (let i = 0; i < 20; i += 1) {
      const said = `${i} ${'ä🌍'.repeat(i % 3)}`;
      await worker.say(said);
      text += said;
      await parts.until((seen) => textOf(seen) === text);
      // Some tokens are durable and not on their way when the connection breaks.
      if (i % 2 === 1) {
        const late = worker.say(`(${i})`);
        text += `(${i})`;
        h.cut();
        await late;
      } else h.cut();
    }
    await worker.complete();
    const seen = await parts.ended();
    expect(textOf(seen)).toBe(text);
    // The modes are those of the first request: no state comes.
    expect(seen.map(({ event }) => event).filter((event) => event !== 'messages')).toEqual(['metadata', 'end']);
  });

  it('is seen by a second viewer that comes later, whole, and by one with the key in `x-api-key`', async () => {
    const h = await start();
    const parts = follow(h.client.runs.stream('t', 'default', { ...streamOf('go'), ifNotExists: 'create' }));
    const run = await runOf(parts);
    const worker = await h.take(run);
    await worker.say('one ');
    await parts.until(has('one '));
    const byKey = new Client({ apiUrl: h.client.runs['apiUrl'], apiKey: h.token('ann') });
    const second = follow(byKey.runs.joinStream('t', run.run_id, { streamMode: ['messages-tuple'] }));
    await second.until(has('one '));
    const third = follow(h.client.runs.joinStream('t', run.run_id, { lastEventId: '-1' }));
    await third.until(has('one '));
    await worker.say('two');
    await worker.complete();
    const texts = await Promise.all([parts, second, third].map(async (one) => textOf(await one.ended())));
    expect(texts).toEqual(['one two', 'one two', 'one two']);
    expect(second.seen.map(({ event }) => event)).not.toContain('values');
  });

  it('ends for every viewer when it is stopped, with an error and its text kept', async () => {
    const h = await start();
    const parts = follow(h.client.runs.stream('t', 'default', { ...streamOf('go'), ifNotExists: 'create' }));
    const run = await runOf(parts);
    const worker = await h.take(run);
    await worker.say('half');
    const second = follow(h.client.runs.joinStream('t', run.run_id));
    await Promise.all([parts.until(has('half')), second.until(has('half'))]);
    const stopping = h.client.runs.cancel('t', run.run_id, true);
    await eventually(
      async () =>
        (await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.runs[0]?.state === 'cancelling',
    );
    await worker.cancelled('ann');
    await stopping;
    for (const one of [parts, second]) {
      const seen = await one.ended();
      expect([textOf(seen), seen.at(-1)]).toMatchObject(['half', { event: 'error', data: { error: 'run-cancelled' } }]);
    }
    expect(await h.client.runs.get('t', run.run_id)).toMatchObject({ status: 'interrupted' });
    await expect(h.client.runs.cancel('t', run.run_id)).rejects.toEqual(status(409));
    await expect(h.client.runs.cancel('t', 'other')).rejects.toEqual(status(404));
  });

  it('ends with its error when it fails, in the stream, in the thread and for one that waits', async () => {
    const h = await start();
    const parts = follow(h.client.runs.stream('t', 'default', { ...streamOf('go'), ifNotExists: 'create' }));
    const run = await runOf(parts);
    const worker = await h.take(run);
    await worker.say('half');
    await parts.until(has('half'));
    const joining = h.client.runs.join('t', run.run_id);
    await worker.fail({ code: 'model-error', message: 'the model broke', retryable: true });
    const failure = { error: 'model-error', message: 'the model broke' };
    expect((await parts.ended()).at(-1)).toMatchObject({ event: 'error', data: failure });
    expect(await joining).toMatchObject({ __error__: failure, messages: [{}, { content: 'half' }] });
    expect(await h.client.runs.get('t', run.run_id)).toMatchObject({ status: 'error' });
    expect(await h.client.threads.get('t')).toMatchObject({ status: 'error', error: failure });
    expect(await h.client.threads.getState('t')).toMatchObject({ tasks: [{ error: 'the model broke' }] });
  });

  it('is the same when the worker dies and another says the same, and ends with an error when it says something else', async () => {
    const h = await start();
    const parts = follow(h.client.runs.stream('t', 'default', { ...streamOf('go'), ifNotExists: 'create' }));
    const run = await runOf(parts);
    const worker = await h.take(run);
    await worker.say('one two');
    await parts.until(has('two'));
    await worker.dropFrom(4, { takesOver: true });
    await worker.say('two three');
    await parts.until(has('three'));
    expect(textOf(parts.seen)).toBe('one two three');
    await worker.dropFrom(4, { takesOver: true });
    await worker.say('else');
    expect((await parts.ended()).at(-1)).toMatchObject({ event: 'error', data: { error: 'restarted' } });
    await worker.complete();
    expect(textOf(await follow(h.client.runs.joinStream('t', run.run_id)).ended())).toBe('one else');
  });
});

describe('runs of a thread', () => {
  it('are made once for one message id, follow one another, and are waited for', async () => {
    const h = await start();
    const first = await h.client.runs.create('t', 'default', { ...inputOf('one', 'm1'), ifNotExists: 'create' });
    expect(first).toMatchObject({ thread_id: 't', status: 'pending', assistant_id: 'default' });
    expect((await h.client.runs.create('t', 'default', inputOf('one', 'm1'))).run_id).toBe(first.run_id);
    await expect(h.client.runs.create('t', 'default', inputOf('other', 'm1'))).rejects.toEqual(status(409));
    const worker = await h.take(first);
    await worker.say('first');
    await worker.complete();
    const waiting = h.client.runs.wait('t', 'default', inputOf('two', 'm2'));
    await eventually(
      async () => ((await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.runs.length ?? 0) > 0,
    );
    const second = await h.client.runs.create('t', 'default', inputOf('two', 'm2'));
    const next = await h.take(second);
    await next.say('second');
    await next.complete();
    expect(await waiting).toMatchObject({
      messages: [{ content: 'one' }, { content: 'first' }, { content: 'two' }, { content: 'second' }],
    });
    // A checkpoint is a run: the prompt follows it.
    const branch = await h.client.runs.create('t', 'default', { ...inputOf('three'), checkpointId: first.run_id });
    expect(await h.client.threads.getState('t')).toMatchObject({
      values: { messages: [{ content: 'one' }, { content: 'first' }, { content: 'three' }] },
      checkpoint: { checkpoint_id: branch.run_id },
      next: ['agent'],
    });
  });

  it('are waited for longer than a request without an answer may last', async () => {
    const h = await start();
    const waited = h.client.runs.wait('t', 'default', { ...inputOf('one'), ifNotExists: 'create' });
    await isWaiting(h);
    const [run] = (await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.runs ?? [];
    const joined = h.client.runs.join('t', run?.runId ?? '');
    await eventually(async () => (await h.gateway.metrics.text()).includes('wire="langgraph"} 2'));
    await h.clock.advance(ANSWER_WAIT_MS);
    await isWaiting(h, 2);
    for (let i = 0; i < 3; i += 1) await h.clock.advance(15_000);
    const worker = await h.take({ thread_id: 't', run_id: run?.runId ?? '' });
    await worker.say('at last');
    await worker.complete();
    for (const values of await Promise.all([waited, joined]))
      expect(values).toMatchObject({ messages: [{ content: 'one' }, { content: 'at last' }] });
  });

  it('are asked for again when a node drains in their wait, and are cut off later than that', async () => {
    const h = await start();
    const run = await h.client.runs.create('t', 'default', { ...inputOf('one'), ifNotExists: 'create' });
    const long = h.client.runs.join('t', run.run_id);
    const cut = long.catch(String);
    await isWaiting(h);
    await h.clock.advance(ANSWER_WAIT_MS);
    await isWaiting(h);
    const short = h.call('GET', `/langgraph/threads/t/runs/${run.run_id}/join`, 'ann');
    await isWaiting(h, 2);
    const drained = h.gateway.drain({ windowMs: 10, deadlineMs: 10_000 });
    await h.clock.advance(10);
    expect(await short).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect((await h.call('POST', '/langgraph/threads', 'ann', {})).status).toBe(503);
    expect(await cut).toContain('terminated');
    await drained;
  });

  it('are cut off when the token expires in a long wait, so that no half answer counts as whole', async () => {
    const h = await start();
    const run = await h.client.runs.create('t', 'default', { ...inputOf('one'), ifNotExists: 'create' });
    const worker = await h.take(run);
    await worker.say('half');
    const cut = h.client.runs.join('t', run.run_id).then(JSON.stringify, String);
    await isWaiting(h);
    await h.clock.advance(ANSWER_WAIT_MS);
    await isWaiting(h);
    // A token of the tests is valid for an hour.
    await h.clock.advance(60 * 60 * 1000);
    expect(await cut).toContain('terminated');
  });

  it('count as connections of their user while they are waited for', async () => {
    const h = await start({ config: { connectionsPerUserMax: 1 } });
    const run = await h.client.runs.create('t', 'default', { ...inputOf('one'), ifNotExists: 'create' });
    const first = h.client.runs.join('t', run.run_id);
    await isWaiting(h);
    await expect(h.client.runs.join('t', run.run_id)).rejects.toEqual(status(429));
    const worker = await h.take(run);
    await worker.complete();
    await first;
    await h.client.runs.join('t', run.run_id);
  });

  it('are refused before the prompt is stored when the client has as many connections as it may have', async () => {
    const h = await start({ config: { connectionsPerUserMax: 0 } });
    await h.client.threads.create({ threadId: 't' });
    for (const call of [
      () => h.client.runs.wait('t', 'default', inputOf('x')),
      () => follow(h.client.runs.stream('t', 'default', inputOf('x'))).ended(),
    ])
      await expect(call()).rejects.toEqual(status(429));
    expect((await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.messages).toBe(0);
  });

  it('are 404 in an unknown and in a foreign thread, and 401 with a wrong token', async () => {
    const h = await start();
    const run = await h.client.runs.create('t', 'default', { ...inputOf('one'), ifNotExists: 'create' });
    const bob = h.clientOf('bob');
    for (const call of [
      () => bob.threads.get('t'),
      () => bob.runs.get('t', run.run_id),
      () => bob.runs.cancel('t', run.run_id),
      () => bob.runs.create('t', 'default', { ...inputOf('x'), ifNotExists: 'create' }),
      () => follow(bob.runs.stream('t', 'default', streamOf('x'))).ended(),
      () => follow(bob.runs.joinStream('t', run.run_id)).ended(),
      () => h.client.runs.create('unknown', 'default', inputOf('x')),
      () => h.client.runs.create('t', 'no agent!', inputOf('x')),
      () => h.client.runs.join('t', 'unknown'),
    ])
      await expect(call()).rejects.toEqual(status(404));
    const expired = h.clientOf('ann', { exp: 1 });
    await expect(expired.threads.get('t')).rejects.toEqual(status(401));
    await expect(follow(expired.runs.joinStream('t', run.run_id)).ended()).rejects.toEqual(status(401));
    expect((await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.runs).toHaveLength(1);
  });

  it('are refused with the name of the field at fault, and nothing is stored', async () => {
    const h = await start();
    await h.client.threads.create({ threadId: 't' });
    const message = { type: 'human', content: 'x' };
    const good = { assistant_id: 'default', input: { messages: [message] } };
    for (const [more, field] of [
      [{ assistant_id: 7 }, 'assistant_id'],
      [{ input: null }, 'input.messages'],
      [{ input: { messages: [] } }, 'input.messages'],
      [{ input: { messages: [{ type: 'ai', content: 'x' }] } }, 'input.messages'],
      [{ input: { messages: [{ type: 'human', content: 7 }] } }, 'input.messages'],
      [{ input: { messages: [{ ...message, content: '' }] } }, 'input.messages'],
      [{ input: { messages: [{ ...message, id: 'not an id' }] } }, 'input.messages'],
      [{ stream_mode: ['values', 'updates'] }, 'stream_mode'],
      [{ multitask_strategy: 'rollback' }, 'multitask_strategy'],
      [{ command: 'resume' }, 'command'],
      [{ command: { update: {} } }, 'command.update'],
      [{ interrupt_before: ['agent'] }, 'interrupt_before'],
      [{ interrupt_after: '*' }, 'interrupt_after'],
      [{ webhook: 'https://example.com' }, 'webhook'],
      [{ after_seconds: 5 }, 'after_seconds'],
      [{ feedback_keys: ['k'] }, 'feedback_keys'],
      [{ if_not_exists: 'maybe' }, 'if_not_exists'],
      [{ checkpoint: { checkpoint_ns: 'sub' } }, 'checkpoint.checkpoint_ns'],
      [{ config: { configurable: { user_id: 'u' } } }, 'config.configurable.user_id'],
      [{ context: { temperature: 2 } }, 'context.temperature'],
    ] as const) {
      for (const end of ['', '/stream', '/wait']) {
        const answer = await h.call('POST', `/langgraph/threads/t/runs${end}`, 'ann', { ...good, ...more });
        expect([field, answer.status, String(answer.body['detail']).split(':')[0]]).toEqual([field, 400, field]);
      }
    }
    const odd = await h.call('POST', '/langgraph/threads/t/runs/r/cancel?action=rollback', 'ann', {});
    expect(odd.status).toBe(400);
    expect((await h.call('GET', '/langgraph/store/items', 'ann')).body['code']).toBe('no-such-route');
    expect((await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.messages).toBe(0);
    // What is only for bookkeeping is taken.
    const taken = {
      ...good,
      stream_mode: [],
      on_disconnect: 'cancel',
      metadata: { a: 1 },
      webhook: null,
      durability: 'sync',
    };
    expect((await h.call('POST', '/langgraph/threads/t/runs', 'ann', taken)).status).toBe(200);
  });

  it('refuse the id of an event of another thread, and a body that is too large', async () => {
    const h = await start({ config: { wireBodyBytesMax: 5_000 } });
    const run = await h.client.runs.create('t', 'default', { ...inputOf('one'), ifNotExists: 'create' });
    for (const lastEventId of ['e9.1.0', 'nonsense', 'e1.999.0', 'e1.2.9'])
      await expect(follow(h.client.runs.joinStream('t', run.run_id, { lastEventId })).ended()).rejects.toEqual(
        status(400),
      );
    await expect(h.client.runs.create('t', 'default', inputOf('x'.repeat(5_000)))).rejects.toEqual(status(413));
  });
});

/** Resolves when so many requests wait for a run. */
async function isWaiting({ gateway }: LangGraph, count = 1): Promise<void> {
  await eventually(async () => (await gateway.metrics.text()).includes(`wire="langgraph"} ${count}`));
}
