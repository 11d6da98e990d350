// The results of tool calls: streamed to readers as they come, kept with the answer, bounded, and dropped with an
// attempt that another worker restarts.
import { afterEach, expect, it } from 'vitest';
import { AgentError } from '../../src/worker/agent-error.ts';
import { TOOL_RESULT_CHARS_MAX } from '../../src/worker/run/token-writer.ts';
import { ChatRig, type SeenEvent } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

async function untilSeen(type: string): Promise<SeenEvent> {
  let found: SeenEvent | undefined;
  await eventually(async () => {
    found = (await rig.seen()).find((event) => event.type === type);
    return found !== undefined;
  });
  if (found === undefined) throw new Error(`${type} was never seen`);
  return found;
}

const call = (id: string, name: string) => ({ type: 'tool-call', index: 0, id, name, argumentsText: '{}' }) as const;

it('a result and an error › come with their calls, before the text that follows them', async () => {
  rig = new ChatRig();
  // As an agent of its own code does.
  Object.assign(rig.model, { executesTools: true });
  rig.startWorker();
  await rig.prompt('look');
  const model = await rig.model.call(0);
  model.say(call('c1', 'find'), { type: 'tool-result', toolCallId: 'c1', result: { rows: [1, 2] } });
  model
    .say(
      { ...call('c2', 'ask'), index: 1 },
      { type: 'tool-result', toolCallId: 'c2', error: 'nobody there' },
      'Two rows.',
    )
    .finish();
  await untilSeen('run.completed');
  expect((await rig.seen()).filter(({ type }) => type === 'tool.result').map(({ data }) => data)).toMatchObject([
    { toolCallId: 'c1', result: { rows: [1, 2] } },
    { toolCallId: 'c2', error: 'nobody there' },
  ]);
  const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
  expect(messages[1]).toMatchObject({
    content: 'Two rows.',
    parts: [
      { toolName: 'find', executor: 'agent', result: { rows: [1, 2] } },
      { toolName: 'ask', error: 'nobody there' },
      { kind: 'text', text: 'Two rows.' },
    ],
  });
});

it('a result beyond its limit › fails the run', async () => {
  rig = new ChatRig();
  rig.startWorker();
  await rig.prompt('look');
  (await rig.model.call(0)).say(call('c1', 'find'), {
    type: 'tool-result',
    toolCallId: 'c1',
    result: 'x'.repeat(TOOL_RESULT_CHARS_MAX),
  });
  expect((await untilSeen('run.failed')).data).toMatchObject({ error: { code: 'answer-too-large', retryable: false } });
});

it('a restarted attempt › has neither the calls nor the results of the attempt before', async () => {
  rig = new ChatRig();
  rig.model.canContinue = false;
  const first = rig.startWorker();
  await rig.prompt('look');
  (await rig.model.call(0)).say(call('c1', 'find'), { type: 'tool-result', toolCallId: 'c1', result: 'old' });
  await untilSeen('tool.result');
  await first.close();
  rig.startWorker();
  (await rig.model.call(1)).say('Nothing to look for.', { type: 'reasoning', text: 'hm' }).finish();
  await untilSeen('run.completed');
  const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
  expect(messages[1]?.parts).toEqual([
    { kind: 'text', text: 'Nothing to look for.' },
    { kind: 'reasoning', text: 'hm' },
  ]);
});

it('an agent that fails with a message of its own › shows it as the reason', async () => {
  rig = new ChatRig();
  rig.startWorker();
  await rig.prompt('order 7');
  (await rig.model.call(0)).say('Looking… ').fail(new AgentError('no-such-order', 'There is no order 7.'));
  expect((await untilSeen('run.failed')).data['error']).toEqual({
    code: 'no-such-order',
    message: 'There is no order 7.',
    retryable: false,
  });
});
