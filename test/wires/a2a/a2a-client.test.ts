// A2A with the stock client: whole streams, resumes, Stop, reading later, failures and refusals, over both bindings.
import { TaskState, type StreamResponse, type Task } from '@a2a-js/sdk';
import { describe, expect, it } from 'vitest';
import { ANSWER_WAIT_MS } from '../../../src/gateway/run-waits.ts';
import { eventually } from '../../support/wait-for.ts';
import { follow, Held, message, startA2a, stateName, textOfTask, type A2aRig, type Binding } from './a2a-rig.ts';

const BINDINGS: readonly Binding[] = ['JSONRPC', 'HTTP+JSON'];

/** Follows a stream. Resolves once the task is there. */
async function watch(stream: AsyncIterable<StreamResponse>) {
  const held = new Held();
  const done = follow(stream, held);
  done.catch(() => undefined);
  await eventually(() => held.task !== undefined);
  return { held, done };
}

/** Sends a prompt and follows its task. */
async function start(rig: A2aRig, binding: Binding = 'JSONRPC', request = message('go')) {
  const client = await rig.client(binding);
  return { client, ...(await watch(client.sendMessageStream(request))) };
}

describe.each(BINDINGS)('an A2A client over %s', (binding) => {
  it('is sent the task, its text, and its end', async () => {
    const rig = await startA2a();
    const { held, done } = await start(rig, binding);
    const run = await rig.work(held.id);
    await run.sayIn(0, 'reasoning', 'hidden');
    await run.sayIn(1, 'text', 'Hello ', '🌍');
    await run.complete();
    await done;
    expect([held.states, held.texts]).toEqual([['SUBMITTED', 'WORKING', 'COMPLETED'], { a1: 'Hello 🌍' }]);
    expect(held.task?.contextId).toBe(held.id.split('.')[0]);
  });

  it('is sent the text so far and the rest when it subscribes, also where it sends its message again', async () => {
    const rig = await startA2a();
    const request = message('go', { contextId: 's' });
    const { client, held, done } = await start(rig, binding, request);
    const run = await rig.work(held.id);
    const whole = Array.from('The quick brown fox jumps');
    const readers: Promise<Held>[] = [done];
    for (const [i, character] of whole.entries()) {
      const again =
        i % 2 === 0 ? client.resubscribeTask({ tenant: '', id: held.id }) : client.sendMessageStream(request);
      readers.push((await watch(again)).done);
      await run.say(character);
    }
    await run.complete();
    for (const reader of await Promise.all(readers))
      expect([reader.text, reader.states.at(-1)]).toEqual([whole.join(''), 'COMPLETED']);
  });

  it('gets the task while it runs and afterwards, and lists the tasks of its context', async () => {
    const rig = await startA2a();
    const { client, held, done } = await start(rig, binding, message('first', { contextId: 's' }));
    const run = await rig.work(held.id);
    await run.say('half');
    const half = await client.getTask({ tenant: '', id: held.id });
    await run.say(' whole');
    await run.complete();
    await done;
    const task = await client.getTask({ tenant: '', id: held.id, historyLength: 5 });
    expect([half, task].map(seen)).toEqual([
      ['WORKING', 'half'],
      ['COMPLETED', 'half whole'],
    ]);
    expect(task.metadata).toMatchObject({ usage: { inputTokens: 1, outputTokens: 1 }, finishReason: 'stop' });
    expect(task.history.map(({ messageId, parts }) => [messageId, parts[0]?.content])).toEqual([
      [expect.stringMatching(/^m\d+$/), { $case: 'text', value: 'first' }],
    ]);
    await client.sendMessage({ ...message('second', { contextId: 's' }), configuration: returning() });
    const list = {
      tenant: '',
      contextId: 's',
      pageToken: '',
      status: TaskState.TASK_STATE_UNSPECIFIED,
      statusTimestampAfter: undefined,
    };
    const page = await client.listTasks({ ...list, pageSize: 1 });
    const next = await client.listTasks({ ...list, pageSize: 1, pageToken: page.nextPageToken });
    expect([...page.tasks, ...next.tasks].map((one) => one.status?.state)).toEqual([
      TaskState.TASK_STATE_SUBMITTED,
      TaskState.TASK_STATE_COMPLETED,
    ]);
    const done2 = await client.listTasks({ ...list, pageSize: 5, status: TaskState.TASK_STATE_COMPLETED });
    expect(done2.tasks.map(({ id }) => id)).toEqual([held.id]);
  });

  it('waits for the end of a message that it sends without a stream', async () => {
    const rig = await startA2a();
    const client = await rig.client(binding);
    const request = message('go', { contextId: 's' });
    const queued = (await client.sendMessage({ ...request, configuration: returning() })) as Task;
    expect(seen(queued)).toEqual(['SUBMITTED', '']);
    const answer = client.sendMessage(request);
    const run = await rig.work(queued.id);
    await run.say('the answer');
    await run.complete();
    expect(seen((await answer) as Task)).toEqual(['COMPLETED', 'the answer']);
  });

  it('receives the id of a task that has not ended in time, or when its node drains', async () => {
    const rig = await startA2a();
    const { gateway, clock } = rig.h;
    const client = await rig.client(binding);
    const isWaiting = async (): Promise<boolean> => (await gateway.metrics.text()).includes('wire="a2a"} 1');
    const long = client.sendMessage(message('go', { contextId: 's' }));
    await eventually(isWaiting);
    await clock.advance(ANSWER_WAIT_MS);
    expect(seen((await long) as Task)).toEqual(['SUBMITTED', '']);
    const cut = client.sendMessage(message('go'));
    await eventually(isWaiting);
    const drained = gateway.drain({ windowMs: 10, deadlineMs: 10_000 });
    await clock.advance(10);
    const task = (await cut) as Task;
    expect([task.id.split('.')[0], ...seen(task)]).toEqual([task.contextId, 'SUBMITTED', '']);
    await drained;
  });

  it('begins a context of its own where session ids are claimed', async () => {
    const rig = await startA2a({ config: { sessionIds: 'claimed' } });
    const client = await rig.client(binding);
    const queued = await client.sendMessage({ ...message('go'), configuration: returning() });
    expect(seen(queued as Task)).toEqual(['SUBMITTED', '']);
  });

  it('stops a run, and ends the streams of all that watch it', async () => {
    const rig = await startA2a();
    const { client, held, done } = await start(rig, binding);
    const run = await rig.work(held.id);
    await run.say('never ');
    const second = await watch((await rig.client('JSONRPC')).resubscribeTask({ tenant: '', id: held.id }));
    const stopped = client.cancelTask({ tenant: '', id: held.id, metadata: undefined });
    await eventually(async () => (await stateIn(rig, held.id)) === 'cancelling');
    await run.cancelled('ann');
    expect(seen(await stopped)).toEqual(['CANCELED', 'never ']);
    for (const one of [await done, await second.done]) expect(one.states.at(-1)).toBe('CANCELED');
    await expect(client.cancelTask({ tenant: '', id: held.id, metadata: undefined })).rejects.toMatchObject({
      name: 'TaskNotCancelableError',
    });
  });

  it('keeps the text of a takeover that says it again, and replaces it where it says something else', async () => {
    const rig = await startA2a();
    const { client, held, done } = await start(rig, binding);
    const run = await rig.work(held.id);
    await run.say('one two three');
    await eventually(() => held.text === 'one two three');
    const { frames } = held;
    await run.dropFrom(4, { takesOver: true });
    await run.say('two ', 'three', '!');
    await eventually(() => held.text === 'one two three!');
    expect(held.frames).toBe(frames + 1);
    await run.dropFrom(4, { takesOver: true });
    await run.say('too ', 'late');
    await run.complete();
    await done;
    expect([held.text, held.states.at(-1)]).toEqual(['one too late', 'COMPLETED']);
    expect(seen(await client.getTask({ tenant: '', id: held.id }))).toEqual(['COMPLETED', 'one too late']);
  });

  it('is refused a page token that no page has given', async () => {
    const rig = await startA2a();
    const { client, done, held } = await start(rig, binding, message('go', { contextId: 's' }));
    await (await rig.work(held.id)).complete();
    await done;
    const list = { tenant: '', contextId: 's', pageSize: 1, status: TaskState.TASK_STATE_UNSPECIFIED };
    for (const pageToken of ['earliest', 'latest', 'x'])
      await expect(client.listTasks({ ...list, pageToken, statusTimestampAfter: undefined })).rejects.toThrow(
        'pageToken must be the nextPageToken of a page',
      );
  });

  it('is told why a run failed', async () => {
    const rig = await startA2a();
    const { client, held, done } = await start(rig, binding);
    const run = await rig.work(held.id);
    await run.say('half');
    await run.fail({ code: 'upstream', message: 'the model is gone', retryable: false });
    await done;
    expect([held.states.at(-1), held.text, held.error]).toEqual(['FAILED', 'half', 'the model is gone (upstream)']);
    const task = await client.getTask({ tenant: '', id: held.id });
    expect(seen(task)).toEqual(['FAILED', 'half']);
  });

  it('is refused an ended task, an unknown one, and one of another user', async () => {
    const rig = await startA2a();
    const { client, held, done } = await start(rig, binding, message('go', { contextId: 's' }));
    await (await rig.work(held.id)).complete();
    await done;
    const eve = await rig.client(binding, 'eve');
    const refusals = [
      follow(client.resubscribeTask({ tenant: '', id: held.id })),
      client.getTask({ tenant: '', id: 's.nothing' }),
      client.getTask({ tenant: '', id: 'nothing' }),
      eve.getTask({ tenant: '', id: held.id }),
      follow(eve.resubscribeTask({ tenant: '', id: held.id })),
      eve.cancelTask({ tenant: '', id: held.id, metadata: undefined }),
      eve.sendMessage(message('mine', { contextId: 's' })),
      client.sendMessage(message('more', { taskId: held.id })),
    ];
    const names = await Promise.all(
      refusals.map(async (one) => one.then(String, (error: unknown) => (error instanceof Error ? error.name : ''))),
    );
    expect(names).toEqual([
      'UnsupportedOperationError',
      ...Array.from({ length: 6 }, () => 'TaskNotFoundError'),
      'UnsupportedOperationError',
    ]);
  });
});

function seen(task: Task): [string, string] {
  return [stateName(task.status?.state), textOfTask(task)];
}

function returning() {
  return {
    acceptedOutputModes: ['text/plain'],
    returnImmediately: true,
    historyLength: undefined,
    taskPushNotificationConfig: undefined,
  };
}

async function stateIn({ h }: A2aRig, taskId: string): Promise<string | undefined> {
  const [sessionId = '', runId] = taskId.split('.');
  const loaded = await h.commandLog.load({ tenant: 'default', sessionId });
  return loaded?.state.runs.find((run) => run.runId === runId)?.state;
}
