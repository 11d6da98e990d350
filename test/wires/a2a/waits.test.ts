// A task that waits for a human, with the stock client over both bindings: asked, answered, refused, expired, stopped.
import { TaskState, type Part, type SendMessageRequest, type Task } from '@a2a-js/sdk';
import { describe, expect, it } from 'vitest';
import type { NewWait } from '../../../src/session/waits/new-wait.ts';
import { APPROVAL, BOTH, PAST_EXPIRY_MS, QUESTION } from '../../support/waits.ts';
import { eventually } from '../../support/wait-for.ts';
import {
  follow,
  Held,
  message,
  startA2a,
  stateName,
  textOf,
  textOfTask,
  type A2aRig,
  type Binding,
} from './a2a-rig.ts';

const BINDINGS: readonly Binding[] = ['JSONRPC', 'HTTP+JSON'];

/** Behind the start of the run. */
const ASKED_AT = '2026-01-01T00:00:01.000Z';

/** A task that has said `one ` and asks. */
async function asking(rig: A2aRig, binding: Binding, wait: NewWait) {
  const client = await rig.client(binding);
  const held = new Held();
  const done = follow(client.sendMessageStream(message('go', { contextId: 's' })), held);
  await eventually(() => held.task !== undefined);
  const run = await rig.work(held.id);
  await run.say('one ');
  const { runId } = run.run;
  await run.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', toolCallId: 'c', toolName: 'pay' });
  await run.sayIn(1, 'tool-call', '{}');
  await run.ask(wait, ASKED_AT);
  await done;
  return { client, held };
}

function answering(held: Held, ...data: readonly object[]): SendMessageRequest {
  const request = message('', { contextId: 's', taskId: held.id });
  const parts = data.map((value): Part => ({
    content: { $case: 'data', value },
    metadata: undefined,
    filename: '',
    mediaType: '',
  }));
  return { ...request, message: request.message && { ...request.message, parts } };
}

function partsOf(task: Pick<Task, 'status'>): unknown[] {
  return (task.status?.message?.parts ?? []).map(({ content }): unknown => content?.value);
}

function inputsOf(task: Pick<Task, 'status'>): string[] {
  return partsOf(task).flatMap((part) => (typeof part === 'object' ? [(part as { inputId: string }).inputId] : []));
}

/** The worker of the next leg says `two` and ends. */
async function finish(rig: A2aRig, held: Held): Promise<void> {
  const run = await rig.work(held.id);
  await run.sayIn(2, 'text', 'two');
  await run.complete();
}

async function stateOf({ h }: A2aRig, held: Held): Promise<string | undefined> {
  const loaded = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
  return loaded?.state.runs.find((run) => `s.${run.runId}` === held.id)?.state;
}

const seen = (task: Task): [string, string] => [stateName(task.status?.state), textOfTask(task)];

describe.each(BINDINGS)('a task that waits, over %s', (binding) => {
  it('ends its stream with what it asks for, and goes on with the answer', async () => {
    const rig = await startA2a();
    const { client, held } = await asking(rig, binding, APPROVAL);
    expect([held.states, held.error]).toEqual([['SUBMITTED', 'WORKING', 'INPUT_REQUIRED'], 'May I pay?']);
    const task = await client.getTask({ tenant: '', id: held.id });
    expect(seen(task)).toEqual(['INPUT_REQUIRED', 'one ']);
    const [inputId] = inputsOf(task);
    expect(partsOf(task)).toMatchObject([
      'May I pay?',
      { inputId, kind: 'approval', toolCallId: 'c', toolName: 'pay' },
    ]);
    const list = { tenant: '', contextId: 's', pageSize: 9, pageToken: '', statusTimestampAfter: undefined };
    const { tasks } = await client.listTasks({ ...list, status: TaskState.TASK_STATE_INPUT_REQUIRED });
    expect(tasks.map(({ id }) => id)).toEqual([held.id]);
    // A client that polls for what has changed learns that the task asks.
    const askedAt = task.status?.timestamp;
    const startedAt = new Date(Date.parse(askedAt ?? '') - 1).toISOString();
    const { tasks: changed } = await client.listTasks({
      ...list,
      status: TaskState.TASK_STATE_UNSPECIFIED,
      statusTimestampAfter: startedAt,
    });
    expect(changed.map(({ status }) => status?.timestamp)).toEqual([askedAt]);
    expect((await follow(client.resubscribeTask({ tenant: '', id: held.id }))).states).toEqual(['INPUT_REQUIRED']);
    const answer = answering(held, { inputId, approved: true });
    const rest = new Held();
    const done = follow(client.sendMessageStream(answer), rest);
    await eventually(async () => (await stateOf(rig, held)) === 'queued');
    await finish(rig, held);
    await done;
    expect([rest.states, rest.text]).toEqual([['SUBMITTED', 'WORKING', 'COMPLETED'], 'one two']);
    // Sent again, it is the same answer.
    expect(seen((await client.sendMessage(answer)) as Task)).toEqual(['COMPLETED', 'one two']);
  });

  it('takes a plain text where one question is open, and the client waits for the end', async () => {
    const rig = await startA2a();
    const { client, held } = await asking(rig, binding, QUESTION);
    const answer = message('large', { contextId: 's', taskId: held.id });
    const sent = client.sendMessage(answer);
    await eventually(async () => (await stateOf(rig, held)) === 'queued');
    await finish(rig, held);
    expect(seen((await sent) as Task)).toEqual(['COMPLETED', 'one two']);
    const { body } = await rig.h.call('GET', '/v1/sessions/s/inputs', 'ann');
    expect(body['inputs']).toEqual([]);
    expect(seen((await client.sendMessage(answer)) as Task)).toEqual(['COMPLETED', 'one two']);
  });

  it('refuses another answer, and one that does not fit, with the code and the field', async () => {
    const rig = await startA2a();
    const { client, held } = await asking(rig, binding, BOTH);
    const task = await client.getTask({ tenant: '', id: held.id });
    const [pay = '', size = ''] = inputsOf(task);
    const refused = async (request: SendMessageRequest): Promise<unknown> =>
      client.sendMessage(request).then(
        () => 'taken',
        (error: unknown) => (error instanceof Error ? error.message : ''),
      );
    expect([
      await refused(message('large', { contextId: 's', taskId: held.id })),
      await refused(answering(held, { approved: true })),
      await refused(answering(held, { inputId: 'none', approved: true })),
      await refused(answering(held, { inputId: size, value: 'huge' })),
      await refused(message('large', { contextId: 'other', taskId: held.id })),
    ]).toEqual([
      expect.stringContaining('data part'),
      expect.stringContaining('message.parts[0].data.inputId'),
      expect.stringContaining('names no input of the task'),
      expect.stringContaining('does not fit'),
      expect.stringContaining('message.contextId'),
    ]);
    const half = (await client.sendMessage(answering(held, { inputId: pay, approved: false }))) as Task;
    expect([seen(half)[0], inputsOf(half)]).toEqual(['INPUT_REQUIRED', [size]]);
    expect(await refused(answering(held, { inputId: pay, approved: true }))).toContain('has another answer');
    expect(await stateOf(rig, held)).toBe('waiting');
    expect((await rig.h.call('GET', '/v1/sessions/s/inputs', 'eve')).status).toBe(404);
    const eve = await rig.client(binding, 'eve');
    const theirs = eve.sendMessage(answering(held, { inputId: size, value: 'large' }));
    await expect(theirs).rejects.toMatchObject({ name: 'TaskNotFoundError' });
  });

  it('goes on by itself when its time is over, and refuses an answer then', async () => {
    const rig = await startA2a();
    const { client, held } = await asking(rig, binding, APPROVAL);
    const [inputId] = inputsOf(await client.getTask({ tenant: '', id: held.id }));
    await rig.h.clock.advance(PAST_EXPIRY_MS);
    await eventually(async () => (await stateOf(rig, held)) === 'queued');
    const late = (await rig.client(binding)).sendMessage(answering(held, { inputId, approved: true }));
    await expect(late).rejects.toMatchObject({ name: 'UnsupportedOperationError' });
    await finish(rig, held);
    const task = await (await rig.client(binding)).getTask({ tenant: '', id: held.id });
    expect(seen(task)).toEqual(['COMPLETED', 'one two']);
  });

  it('is stopped at once, and a new message stays behind it until then', async () => {
    const rig = await startA2a();
    const { client, held } = await asking(rig, binding, APPROVAL);
    const [inputId] = inputsOf(await client.getTask({ tenant: '', id: held.id }));
    const configuration = {
      acceptedOutputModes: [],
      returnImmediately: true,
      historyLength: undefined,
      taskPushNotificationConfig: undefined,
    };
    const next = (await client.sendMessage({ ...message('next', { contextId: 's' }), configuration })) as Task;
    expect([seen(next)[0], await stateOf(rig, held)]).toEqual(['SUBMITTED', 'waiting']);
    const stopped = await client.cancelTask({ tenant: '', id: held.id, metadata: undefined });
    expect(seen(stopped)).toEqual(['CANCELED', 'one ']);
    const late = client.sendMessage(answering(held, { inputId, approved: true }));
    await expect(late).rejects.toMatchObject({ name: 'UnsupportedOperationError' });
    const run = await rig.work(next.id);
    await run.complete();
    expect(textOf(stopped.status?.message?.parts)).toBe('');
  });
});
