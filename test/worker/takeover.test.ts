// A run whose worker was lost: the next worker continues the retained answer without a gap or an overlap, or restarts
// it.
import { afterEach, expect, it } from 'vitest';
import { ProviderError, type ProviderEvent } from '../../src/worker/provider.ts';
import { ChatRig, joinAnswer, type PlayedCall } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;

afterEach(async () => {
  await rig.close();
});

/** Makes a run whose first worker emitted this text, and resolves with the model call of the second one. */
async function takenOver(
  ...said: (string | ProviderEvent)[]
): Promise<{ readonly runId: string; readonly call: PlayedCall }> {
  rig = new ChatRig();
  const worker = rig.startWorker();
  const { runId } = await rig.prompt('hello');
  (await rig.model.call(0)).say(...said);
  const last = said.at(-1);
  await eventually(async () => joinAnswer(await rig.seen(), runId).endsWith(typeof last === 'string' ? last : '?'));
  await worker.close();
  rig.startWorker();
  await rig.clock.advance(10);
  return { runId, call: await rig.model.call(1) };
}

/** The answer that a reader has at the end. */
async function completed(runId: string): Promise<string> {
  await eventually(async () =>
    (await rig.seen()).some(({ type, data }) => type === 'run.completed' && data['runId'] === runId),
  );
  return joinAnswer(await rig.seen(), runId);
}

it('a lost answer › is continued without a gap or an overlap by a model that repeats its prefix', async () => {
  const answer = 'A text that is long enough to be no accident, and then its end.';
  const { runId, call } = await takenOver(answer.slice(0, 46));
  call.say(answer.slice(0, 20), answer.slice(20, 50), answer.slice(50)).finish();
  expect(await completed(runId)).toBe(answer);
  expect(rig.continuedChars).toEqual([45]);
  expect(rig.model.calls).toHaveLength(2);
});

it.each<[string, (call: PlayedCall) => void]>([
  ['begins another answer', (call) => call.say('A text that is long enough to be something else.')],
  ['thinks first', (call) => call.say({ type: 'reasoning', text: 'hm' }, ' and so on')],
  ['refuses to be told how to begin', (call) => call.fail(new ProviderError('upstream-refused', 'no prefill'))],
])('a lost answer is replaced by one from the start where the model %s', async (_what, go) => {
  const { runId, call } = await takenOver('A text that is long enough to be no accident, and');
  go(call);
  const anew = await rig.model.call(2);
  expect(anew.request.prefix).toBeUndefined();
  expect(call.isAborted).toBe(true);
  anew.say('From the start.').finish();
  expect(await completed(runId)).toBe('From the start.');
  expect(rig.continuedChars).toEqual([]);
});

it('a lost answer › is restarted when it was more than text', async () => {
  const { runId, call } = await takenOver({ type: 'reasoning', text: 'hm' }, 'text');
  expect(call.request.prefix).toBeUndefined();
  call.say('From the start.').finish();
  expect(await completed(runId)).toBe('From the start.');
});

it('a lost answer › is continued by a model that has nothing to add', async () => {
  const { runId, call } = await takenOver('Everything is said.\n');
  call.finish();
  expect(await completed(runId)).toBe('Everything is said.\n');
});

it('a lost answer › is continued by a model that now calls a tool', async () => {
  const { runId, call } = await takenOver('Let me see. ');
  call.say({ type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{}' }).finish();
  expect(await completed(runId)).toBe('Let me see. \n{}');
});
