// The id of an answer is in the log before a worker has begun, and never changes.
import { describe, expect, it, onTestFinished } from 'vitest';
import { foldCommandState, newCommandState } from '../../src/session/commands/command-state.ts';
import { decodeEvent } from '../../src/session/events/chat-event.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

async function idsIn(rig: ChatRig, type: string, field: string): Promise<unknown[]> {
  return (await rig.seen()).filter((event) => event.type === type).map(({ data }) => data[field]);
}

describe('run.queued', () => {
  it('names the answer that run.started names later, for a prompt and for a regeneration', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    const { messageId } = await rig.prompt('hello');
    const [first] = await idsIn(rig, 'run.queued', 'answerId');
    rig.startWorker();
    (await rig.model.call(0)).say('hi').finish();
    await eventually(async () => (await idsIn(rig, 'run.completed', 'runId')).length === 1);
    const again = { messageId, answerId: 'chosen', priority: 'normal', onBusy: 'queue' } as const;
    await rig.branches.regenerate(rig.alice, rig.ref, { ...again, admit: (_agent, model) => model });
    (await rig.model.call(1)).say('hi again').finish();
    await eventually(async () => (await idsIn(rig, 'run.completed', 'runId')).length === 2);
    expect(first).toMatch(/^id\d+$/);
    expect(await idsIn(rig, 'run.queued', 'answerId')).toEqual([first, 'chosen']);
    expect(await idsIn(rig, 'run.started', 'messageId')).toEqual([first, 'chosen']);
  });

  it('is read without the id, as version 0.1 wrote it', () => {
    const fields = { runId: 'r', messageId: 'm', agent: 'default', model: '', priority: 'normal', createdAt: 't' };
    const event = decodeEvent(`1 run.queued ${JSON.stringify(fields)}`);
    if (event === undefined) throw new Error('not decoded');
    const state = foldCommandState(newCommandState('alice', 't', 1), event, { offset: 1 });
    expect(state.runs).toMatchObject([{ runId: 'r', answerId: 'r' }]);
  });
});
