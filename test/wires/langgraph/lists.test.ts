// LangGraph: threads that are searched for and counted, and the runs of a thread, through the real SDK.
import { describe, expect, it } from 'vitest';
import { PAGE_CHARS_MAX } from '../../../src/session/history/history.ts';
import { eventually } from '../../support/wait-for.ts';
import { APPROVAL } from '../../support/waits.ts';
import { inputOf, start, status, type LangGraph } from './langgraph-rig.ts';

/** Three threads of ann's, the newest last, and one of eve's. */
async function threads(h: LangGraph): Promise<void> {
  for (const [threadId, metadata] of [
    ['a', { topic: 'tea', tags: ['x', 'y'], of: { team: 1, place: 'Turin' } }],
    ['b', { topic: 'coffee' }],
    ['c', { topic: 'tea' }],
  ] as const) {
    await h.client.threads.create({ threadId, metadata });
    await h.clock.advance(1000);
  }
  await h.clientOf('eve').threads.create({ threadId: 'd', metadata: { topic: 'tea' } });
}

async function ids(h: LangGraph, query: Parameters<LangGraph['client']['threads']['search']>[0]): Promise<string[]> {
  return (await h.client.threads.search(query)).map(({ thread_id: id }) => id);
}

async function answered(h: LangGraph, thread: string, text: string): Promise<string> {
  const run = await h.client.runs.create(thread, 'default', inputOf(text));
  const worker = await h.take(run);
  await worker.say(`re: ${text}`);
  await worker.complete();
  return run.run_id;
}

/** The status of the reply, and the field at fault. */
async function refusal(h: LangGraph, method: 'GET' | 'POST', path: string, body?: object): Promise<unknown[]> {
  const answer = await h.call(method, `/langgraph${path}`, 'ann', body);
  return [answer.status, String(answer.body['detail']).split(':')[0]];
}

describe('threads', () => {
  it('are searched for by age, metadata, status and id, and counted, and only those of the user', async () => {
    const h = await start();
    await threads(h);
    expect(await ids(h, undefined)).toEqual(['c', 'b', 'a']);
    expect(await ids(h, { sortBy: 'created_at', sortOrder: 'asc' })).toEqual(['a', 'b', 'c']);
    expect(await ids(h, { limit: 1, offset: 1 })).toEqual(['b']);
    expect(await ids(h, { metadata: { topic: 'tea' } })).toEqual(['c', 'a']);
    expect(await ids(h, { metadata: { topic: 'tea' }, limit: 1, offset: 1 })).toEqual(['a']);
    expect(await ids(h, { metadata: { tags: ['y'], of: { team: 1 } } })).toEqual(['a']);
    expect(await ids(h, { metadata: { tags: ['z'] } })).toEqual([]);
    expect(await ids(h, { metadata: { topic: 'coffee' }, offset: 1 })).toEqual([]);
    expect(await ids(h, { ids: ['a', 'd', 'none', 'c'] })).toEqual(['c', 'a']);
    expect(await h.client.threads.count()).toBe(3);
    expect(await h.client.threads.count({ metadata: { topic: 'tea' } })).toBe(2);
    const { run_id } = await h.client.runs.create('b', 'default', inputOf('go'));
    expect([await ids(h, { status: 'busy' }), await ids(h, { status: 'interrupted' })]).toEqual([['b'], []]);
    await (await h.take({ thread_id: 'b', run_id })).ask(APPROVAL);
    expect([await ids(h, { status: 'busy' }), await ids(h, { status: 'interrupted' })]).toEqual([[], ['b']]);
    expect(await h.client.threads.count({ status: 'interrupted' })).toBe(1);
    const bound = h.clientOf('ann', { sessions: ['a', 'd'] });
    expect((await bound.threads.search()).map(({ thread_id: id }) => id)).toEqual(['a']);
    expect(await bound.threads.search({ ids: ['b'] })).toEqual([]);
    expect(await h.clientOf('eve').threads.count()).toBe(1);
    // The thread of a run without one is in no list.
    const own = await h.client.runs.create(null, 'default', inputOf('go'));
    expect([await ids(h, { ids: [own.thread_id] }), await h.client.threads.count()]).toEqual([[], 3]);
  });

  it('are found with their values, or with the fields that are selected', async () => {
    const h = await start();
    await threads(h);
    await answered(h, 'a', 'one');
    const [found] = await h.client.threads.search({ metadata: { of: { place: 'Turin' } } });
    expect(found).toEqual(await h.client.threads.get('a'));
    expect(found).toMatchObject({ status: 'idle', values: { messages: [{ content: 'one' }, { content: 're: one' }] } });
    const selected = await h.client.threads.search({ ids: ['a'], select: ['thread_id', 'status'] });
    expect(selected).toEqual([{ thread_id: 'a', status: 'idle' }]);
  });

  it('are fewer on a page where they are long, because each has its messages', async () => {
    const h = await start();
    await threads(h);
    for (const thread of ['a', 'b', 'c']) await answered(h, thread, 'x'.repeat(PAGE_CHARS_MAX / 2.5));
    const [first, rest] = [await ids(h, {}), await ids(h, { offset: 2 })];
    expect([first, rest]).toEqual([['c', 'b'], ['a']]);
    expect(await ids(h, { select: ['thread_id'] })).toEqual(['c', 'b', 'a']);
  });

  it('are not searched for by what the list does not know, or with a page that is none', async () => {
    const h = await start();
    for (const [body, code, field] of [
      [{ values: { messages: [] } }, 422, 'values'],
      [{ status: 'idle' }, 422, 'status'],
      [{ sort_by: 'updated_at' }, 422, 'sort_by'],
      [{ extract: { last: 'values.messages[-1]' } }, 422, 'extract'],
      [{ select: ['thread_id', 'colour'] }, 422, 'select'],
      [{ status: 'asleep' }, 400, 'status'],
      [{ metadata: [] }, 400, 'metadata'],
      [{ ids: 'a' }, 400, 'ids'],
      [{ sort_order: 'up' }, 400, 'sort_order'],
      [{ limit: 0 }, 400, 'limit'],
      [{ limit: 101 }, 400, 'limit'],
      [{ offset: -1 }, 400, 'offset'],
      [{ offset: 1.5 }, 400, 'offset'],
    ] as const)
      expect(await refusal(h, 'POST', '/threads/search', body)).toEqual([code, field]);
    expect(await refusal(h, 'POST', '/threads/count', { values: { a: 1 } })).toEqual([422, 'values']);
  });
});

describe('the runs of a thread', () => {
  it('are listed, each leg as a run, newest first, in pages and by status', async () => {
    const h = await start();
    await h.client.threads.create({ threadId: 't' });
    const first = await answered(h, 't', 'one');
    const asking = await h.client.runs.create('t', 'default', inputOf('two'));
    await (await h.take(asking)).ask(APPROVAL);
    const waiting = asking.run_id;
    expect((await h.client.runs.list('t')).map(({ run_id: id }) => id)).toEqual([waiting, first]);
    await h.client.runs.create('t', 'default', { command: { resume: true } });
    await eventually(async () => (await h.queued()).length === 1);
    const next = await h.client.runs.create('t', 'default', inputOf('three'));
    const all = await h.client.runs.list('t');
    expect(all.map(({ run_id: id, status: is }) => [id, is])).toEqual([
      [next.run_id, 'pending'],
      [`${waiting}.1`, 'pending'],
      [waiting, 'interrupted'],
      [first, 'success'],
    ]);
    expect(all[1]).toEqual(await h.client.runs.get('t', `${waiting}.1`));
    expect(await h.client.runs.list('t', { limit: 2, offset: 1 })).toEqual(all.slice(1, 3));
    expect(await h.client.runs.list('t', { status: 'pending', offset: 1 })).toEqual(all.slice(1, 2));
    expect(await h.client.runs.list('t', { select: ['run_id'], limit: 1 })).toEqual([{ run_id: next.run_id }]);
    // A run that is stopped where it waits has no other leg.
    await h.client.runs.cancel('t', waiting, false);
    await h.client.threads.create({ threadId: 'u' });
    const other = await h.client.runs.create('u', 'default', inputOf('go'));
    await (await h.take(other)).ask(APPROVAL);
    await h.client.runs.cancel('u', other.run_id, true);
    expect((await h.client.runs.list('u')).map(({ run_id: id, status: is }) => [id, is])).toEqual([
      [other.run_id, 'interrupted'],
    ]);
  });

  it('are not listed for another user, by an unknown status, or with a page that is none', async () => {
    const h = await start();
    await h.client.threads.create({ threadId: 't' });
    await expect(h.clientOf('eve').runs.list('t')).rejects.toEqual(status(404));
    await expect(h.client.runs.list('none')).rejects.toEqual(status(404));
    expect(await h.client.runs.list('t', { status: 'timeout' })).toEqual([]);
    for (const [query, code, field] of [
      ['status=done', 400, 'status'],
      ['limit=0', 400, 'limit'],
      ['limit=1e9', 400, 'limit'],
      ['offset=x', 400, 'offset'],
      ['offset=1001', 400, 'offset'],
      ['select=colour', 422, 'select'],
    ] as const)
      expect(await refusal(h, 'GET', `/threads/t/runs?${query}`)).toEqual([code, field]);
  });
});
