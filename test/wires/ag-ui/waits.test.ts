// A run that waits for a human, with the stock AG-UI client, which refuses to run on while its interrupts are open:
// asked, answered, refused, expired, stopped, and given up for a new message.
import type { HttpAgent } from '@ag-ui/client';
import { describe, expect, it } from 'vitest';
import type { NewWait } from '../../../src/session/waits/new-wait.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/wait-for.ts';
import { APPROVAL, BOTH, PAST_EXPIRY_MS, QUESTION, TOOL } from '../../support/waits.ts';
import { run, startAgUi, textOf, until, user, type AgUiRig, type Ending } from './ag-ui-rig.ts';

/** A run that has said `one `, has called a tool, and asks. */
async function asking(rig: AgUiRig, wait: NewWait): Promise<{ agent: HttpAgent; ids: string[]; ending: Ending }> {
  const agent = rig.agent([user('p')]);
  const done = run(agent, 'r1');
  const worker = await rig.work();
  const { runId } = worker.run;
  await worker.say('one ');
  await worker.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', toolCallId: 'c', toolName: 'pay' });
  await worker.sayIn(1, 'tool-call', '{}');
  // The client compares the time of the expiry with its own.
  await worker.ask(wait, new Date().toISOString());
  const ending = await done;
  return { agent, ids: (ending.interrupts ?? []).map(({ id }) => id), ending };
}

async function stateOf({ h }: AgUiRig): Promise<string | undefined> {
  return (await h.commandLog.load({ tenant: 'default', sessionId: 't' }))?.state.runs[0]?.state;
}

function resolved(interruptId: string | undefined, payload: unknown) {
  return { interruptId: interruptId ?? '', status: 'resolved' as const, payload };
}

const rolesOf = ({ messages }: HttpAgent): string[] => messages.map(({ role }) => role);

describe('an AG-UI client of a run that waits', () => {
  it('is told what is asked, and is sent the next leg behind what it holds when it answers', async () => {
    const rig = await startAgUi();
    const { agent, ids, ending } = await asking(rig, APPROVAL);
    expect(ending.interrupts).toMatchObject([
      { reason: 'approval', message: 'May I pay?', toolCallId: 'c', metadata: { toolName: 'pay' } },
    ]);
    const starts: string[] = [];
    const { unsubscribe } = agent.subscribe({
      onToolCallStartEvent: ({ event }) => void starts.push(event.toolCallId),
    });
    const done = run(agent, 'r2', { resume: [resolved(ids[0], { approved: true, reason: 'fine' })] });
    const worker = await rig.work();
    const { runId } = worker.run;
    await worker.add({ type: 'tool.result', runId, toolCallId: 'c', result: 'paid' });
    await worker.sayIn(2, 'text', 'two');
    await worker.complete();
    expect(await done).toEqual({ outcome: 'success' });
    unsubscribe();
    // The calls of the first leg are not told again.
    expect([starts, textOf(agent)]).toEqual([[], 'one two']);
    expect(rolesOf(agent)).toEqual(['user', 'assistant', 'tool', 'assistant']);
    const { body } = await rig.h.call('GET', '/v1/sessions/t/runs', 'ann');
    expect(body['runs']).toHaveLength(1);
  });

  it('is sent the whole answer once when it goes away in the next leg and resumes again', async () => {
    const rig = await startAgUi();
    const { agent, ids } = await asking(rig, APPROVAL);
    const resume = [resolved(ids[0], true)];
    const first = run(agent, 'r2', { resume });
    const worker = await rig.work();
    await worker.sayIn(2, 'text', 'two ');
    await until(agent, 'one two ');
    agent.abortRun();
    await first;
    const back = rig.agent(agent.messages);
    const done = run(back, 'r3', { resume });
    await worker.sayIn(2, 'text', 'three');
    await worker.complete();
    expect(await done).toMatchObject({ outcome: 'success' });
    expect([textOf(back), rolesOf(back)]).toEqual(['one two three', ['user', 'assistant', 'assistant']]);
    // A client that holds the first leg only is sent the rest of the answer, also when it has ended.
    const late = rig.agent(agent.messages.slice(0, 2));
    expect(await run(late, 'r4', { resume })).toMatchObject({ outcome: 'success' });
    expect(textOf(late)).toBe('one two three');
  });

  it('attaches to a run that waits, and learns what is asked, with the answer so far', async () => {
    const rig = await startAgUi();
    const { agent, ids } = await asking(rig, QUESTION);
    const viewer = rig.agent([user('p')]);
    const { interrupts } = await run(viewer, 'v1');
    expect([interrupts?.map(({ id }) => id), textOf(viewer)]).toEqual([ids, 'one ']);
    expect(interrupts?.[0]).toMatchObject({ reason: 'question', responseSchema: { enum: ['small', 'large'] } });
    const done = run(viewer, 'v2', { resume: [resolved(ids[0], 'large')] });
    const worker = await rig.work();
    await worker.sayIn(2, 'text', 'two');
    await worker.complete();
    await done;
    // The other client sends the same message again: all legs.
    const again = rig.agent(agent.messages);
    await run(again, 'a1');
    expect([textOf(viewer), textOf(again)]).toEqual(['one two', 'one two']);
  });

  it('gives the result of a tool that it runs, and refuses a call by cancelling it', async () => {
    const rig = await startAgUi();
    const { agent, ids } = await asking(rig, TOOL);
    const done = run(agent, 'r2', { resume: [resolved(ids[0], { seen: 'a chair' })] });
    const worker = await rig.work();
    await worker.ask(APPROVAL, new Date().toISOString());
    const asked = await done;
    expect(agent.messages.at(-1)).toMatchObject({ role: 'tool', toolCallId: 'c', content: '{"seen":"a chair"}' });
    const id = asked.interrupts?.[0]?.id ?? '';
    const cancelled = run(agent, 'r3', { resume: [{ interruptId: id, status: 'cancelled' }] });
    const last = await rig.work();
    await last.sayIn(2, 'text', 'two');
    await last.complete();
    expect([await cancelled, textOf(agent)]).toEqual([{ outcome: 'success' }, 'one two']);
    const { body } = await rig.h.call('POST', `/v1/sessions/t/inputs/${id}`, 'ann', { approved: true });
    expect(body.error?.code).toBe('already-answered');
  });

  it('is refused another answer, one that does not fit, and an interrupt of nobody', async () => {
    const rig = await startAgUi();
    const { ids } = await asking(rig, BOTH);
    const input = { threadId: 't', runId: 'r2', messages: [user('p')] };
    const refusal = async (as: string, ...resume: object[]): Promise<unknown> => {
      const { status, body } = await rig.h.call('POST', '/ag-ui/default', as, { ...input, resume });
      return [status, body.error?.code];
    };
    await rig.h.call('POST', `/v1/sessions/t/inputs/${ids[0]}`, 'ann', { approved: false });
    expect([
      await refusal('ann', resolved(ids[0], true)),
      await refusal('ann', resolved(ids[1], 'huge')),
      await refusal('ann', resolved('none', 'large')),
      await refusal('ann', resolved(ids[1], 'large'), resolved('none', 'large')),
      await refusal('eve', resolved(ids[1], 'large')),
    ]).toEqual([
      [409, 'already-answered'],
      [400, 'invalid-answer'],
      [404, 'input-not-found'],
      [404, 'input-not-found'],
      [404, 'not-found'],
    ]);
    expect(await stateOf(rig)).toBe('waiting');
  });

  it('may only cancel what has expired, and is sent what follows', async () => {
    const clock = new ManualClock();
    clock.jumpWall(Date.now() - clock.now());
    const rig = await startAgUi({ clock });
    const { agent, ids } = await asking(rig, APPROVAL);
    await rig.h.clock.advance(PAST_EXPIRY_MS);
    await eventually(async () => (await stateOf(rig)) === 'queued');
    const late = rig.agent(agent.messages);
    const { error } = await run(late, 'r2', { resume: [resolved(ids[0], true)] });
    expect(error).toContain('409');
    const done = run(rig.agent(agent.messages), 'r3', { resume: [{ interruptId: ids[0] ?? '', status: 'cancelled' }] });
    const worker = await rig.work();
    await worker.sayIn(2, 'text', 'two');
    await worker.complete();
    expect(await done).toMatchObject({ outcome: 'success' });
  });

  it('gives up the wait with a new message, and is stopped by the extension', async () => {
    const rig = await startAgUi();
    const { agent } = await asking(rig, APPROVAL);
    const next = rig.agent([...agent.messages, user('q', 'never mind')]);
    const done = run(next, 'r2');
    const worker = await rig.work();
    expect(worker.run.messageId).toBe('q');
    await worker.say('fine');
    await worker.ask(QUESTION, new Date().toISOString());
    expect((await done).outcome).toBe('interrupt');
    const { status } = await rig.h.call('POST', '/ag-ui/default/cancel', 'ann', { threadId: 't', runId: 'r2' });
    expect(status).toBe(202);
    const again = rig.agent(next.messages);
    expect([await run(again, 'r2'), textOf(again)]).toEqual([{ outcome: 'cancelled' }, 'fine']);
    const { body } = await rig.h.call('GET', '/v1/sessions/t/runs', 'ann');
    expect((body['runs'] as { state: string }[]).map(({ state }) => state)).toEqual(['cancelled', 'cancelled']);
  });
});
