// LangGraph: the checkpoints of threads, threads that are changed and removed, and runs without a thread, through the
// real SDK.
import { describe, expect, it } from 'vitest';
import { HISTORY_CHARS_MAX } from '../../../src/gateway/mounts/langgraph/thread-history.ts';
import { PAGE_CHARS_MAX } from '../../../src/session/history/history.ts';
import { OWN_THREAD_TTL_MS } from '../../../src/gateway/mounts/langgraph/send-run.ts';
import { eventually } from '../../support/wait-for.ts';
import { follow, has, inputOf, runOf, start, status, streamOf, textOf, type LangGraph } from './langgraph-rig.ts';

/** Sends a prompt, and answers it. */
async function turn(h: LangGraph, text: string, more: object = {}): Promise<string> {
  const run = await h.client.runs.create('t', 'default', { ...inputOf(text), ifNotExists: 'create', ...more });
  const worker = await h.take(run);
  await worker.say(`re: ${text}`);
  await worker.complete();
  return run.run_id;
}

function contentsOf(state: { readonly values: unknown }): unknown[] {
  return (state.values as { messages: { content: unknown }[] }).messages.map(({ content }) => content);
}

describe('the history of a thread', () => {
  it('is the state behind each answer of the shown branch, newest first, and pages before a checkpoint', async () => {
    const h = await start();
    const ids = [await turn(h, 'one'), await turn(h, 'two'), await turn(h, 'three')];
    const states = await h.client.threads.getHistory('t');
    expect(states.map(contentsOf)).toEqual([
      ['one', 're: one', 'two', 're: two', 'three', 're: three'],
      ['one', 're: one', 'two', 're: two'],
      ['one', 're: one'],
    ]);
    expect(states.map(({ checkpoint }) => checkpoint.checkpoint_id)).toEqual([...ids].reverse());
    expect(states.map((state) => state.parent_checkpoint?.checkpoint_id)).toEqual([ids[1], ids[0], undefined]);
    const [newest] = await h.client.threads.getHistory('t', { limit: 1 });
    const configurable = { checkpoint_id: newest?.checkpoint.checkpoint_id };
    const rest = await h.client.threads.getHistory('t', { before: { configurable } });
    expect(rest).toEqual(states.slice(1));
    const branch = await turn(h, 'other', { checkpointId: ids[0] });
    expect((await h.client.threads.getHistory('t')).map(({ checkpoint }) => checkpoint.checkpoint_id)).toEqual([
      branch,
      ids[0],
    ]);
  });

  it('has the state of a prompt that waits, which is next', async () => {
    const h = await start();
    const first = await turn(h, 'one');
    await h.client.runs.create('t', 'default', inputOf('two'));
    const [tip, before] = await h.client.threads.getHistory('t');
    expect([tip, before].map((state) => [state && contentsOf(state), state?.next])).toEqual([
      [['one', 're: one', 'two'], ['agent']],
      [['one', 're: one'], []],
    ]);
    expect(tip?.parent_checkpoint?.checkpoint_id).toBe(first);
  });

  it('has fewer states than asked for when they are long, because each repeats the messages before it', async () => {
    const h = await start();
    const long = 'x'.repeat(PAGE_CHARS_MAX / 8);
    for (let i = 0; i < 12; i += 1) {
      const run = await h.client.runs.create('t', 'default', { ...inputOf(`${i}`), ifNotExists: 'create' });
      const worker = await h.take(run);
      await worker.say(long);
      await worker.complete();
    }
    const state = await h.client.threads.getState('t');
    expect(JSON.stringify(state.values).length).toBeLessThan(1.5 * PAGE_CHARS_MAX);
    expect(contentsOf(state).slice(-2)).toEqual(['11', long]);
    const states = await h.client.threads.getHistory('t', { limit: 100 });
    expect(JSON.stringify(states).length).toBeLessThan(1.5 * HISTORY_CHARS_MAX);
    expect(states.length).toBeGreaterThan(0);
    expect(states.length).toBeLessThan(8);
    expect(contentsOf(states[0] ?? state)).toEqual(contentsOf(state));
  });

  it('is refused for a field that cannot be served, and is 404 for a foreign thread', async () => {
    const h = await start();
    const first = await turn(h, 'one');
    for (const [body, field] of [
      [{ limit: 0 }, 'limit'],
      [{ before: { configurable: {} } }, 'before'],
      [{ metadata: { a: 1 } }, 'metadata'],
      [{ checkpoint: { checkpoint_ns: 'sub' } }, 'checkpoint'],
      [{ select: ['values'] }, 'select'],
    ] as const) {
      const answer = await h.call('POST', '/langgraph/threads/t/history', 'ann', body);
      expect([answer.status, String(answer.body['detail']).split(':')[0]]).toEqual([400, field]);
    }
    const { text } = await h.call('GET', '/langgraph/threads/t/history?limit=1', 'ann');
    expect(JSON.parse(text)).toMatchObject([{ checkpoint: { checkpoint_id: first } }]);
    await expect(h.clientOf('eve').threads.getHistory('t')).rejects.toEqual(status(404));
    const before = { configurable: { checkpoint_id: 'none' } };
    await expect(h.client.threads.getHistory('t', { before })).rejects.toEqual(status(404));
  });
});

describe('a thread', () => {
  it('keeps its metadata when some is added, and is gone when it is removed', async () => {
    const h = await start();
    await h.client.threads.create({ threadId: 't', metadata: { topic: 'tea' } });
    const thread = await h.client.threads.update('t', { metadata: { colour: 'green' }, ttl: 60 });
    expect(thread).toMatchObject({ thread_id: 't', metadata: { topic: 'tea', colour: 'green' } });
    await expect(h.clientOf('eve').threads.update('t', { metadata: {} })).rejects.toEqual(status(404));
    await expect(h.clientOf('eve').threads.delete('t')).rejects.toEqual(status(404));
    await h.client.threads.delete('t');
    await expect(h.client.threads.get('t')).rejects.toEqual(status(404));
  });
});

describe('a run without a thread', () => {
  it('is streamed, resumed, waited for and created in a thread of its own, which is in no list and ends', async () => {
    const h = await start();
    const parts = follow(h.client.runs.stream(null, 'default', streamOf('hello')));
    const run = await runOf(parts);
    const worker = await h.take(run);
    await worker.say('one ');
    await parts.until(has('one '));
    h.cut();
    await worker.say('two');
    await worker.complete();
    expect(textOf(await parts.ended())).toBe('one two');
    let waiting: { thread_id?: string; run_id: string } | undefined;
    const waited = h.client.runs.wait(null, 'default', { ...inputOf('hi'), onRunCreated: (made) => (waiting = made) });
    const created = await h.client.runs.create(null, 'default', inputOf('hey'));
    await eventually(async () => (await h.queued()).length === 2);
    for (const made of await h.queued()) {
      const answering = await h.take(made);
      await answering.say('ok');
      await answering.complete();
    }
    const { body } = await h.call('GET', `/v1/sessions/${created.thread_id}`, 'ann');
    const endsIn = Date.parse(String(body['expiresAt'])) - h.clock.now();
    expect(body['isListed']).toBe(false);
    expect(endsIn).toBeLessThanOrEqual(OWN_THREAD_TTL_MS);
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
    expect(await waited).toMatchObject({ messages: [{ content: 'hi' }, { content: 'ok' }] });
    expect([waiting?.thread_id, created.thread_id].every((id) => id !== undefined)).toBe(true);
    expect(await h.client.runs.join(created.thread_id, created.run_id)).toMatchObject({
      messages: [{ content: 'hey' }, { content: 'ok' }],
    });
  });

  it('is refused a checkpoint, and a token for given chats, and makes no thread then', async () => {
    const h = await start();
    const refused = h.client.runs.wait(null, 'default', { ...inputOf('x'), checkpointId: 'one' });
    await expect(refused).rejects.toEqual(status(400));
    const bound = h.clientOf('ann', { sessions: ['a'] });
    await expect(bound.runs.create(null, 'default', inputOf('x'))).rejects.toEqual(status(403));
    await expect(follow(bound.runs.stream(null, 'default', inputOf('x'))).ended()).rejects.toEqual(status(403));
    expect(await h.queued()).toEqual([]);
  });
});
