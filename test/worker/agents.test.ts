// Several agents behind one queue of prompts: which worker serves which agent, how many runs at once, and what an agent
// refuses.
import { afterEach, describe, expect, it } from 'vitest';
import type { SentPrompt } from '../../src/session/runs.ts';
import type { Agent } from '../../src/worker/agent.ts';
import { ChatRig, joinAnswer, PlayedModel } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;

function setup(agent: Partial<Agent> = {}): ChatRig {
  rig = new ChatRig({ agent });
  return rig;
}

afterEach(async () => {
  await rig.close();
});

/** The terminal of a run, and the text of its answer. */
async function ended({ runId }: SentPrompt): Promise<{ type: string; error: unknown; text: string }> {
  let end: { type: string; error: unknown; text: string } | undefined;
  await eventually(async () => {
    const events = await rig.seen();
    const last = events.findLast(({ data }) => data['runId'] === runId);
    if (last !== undefined && /^run\.(completed|failed|cancelled)$/.test(last.type))
      end = { type: last.type, error: last.data['error'], text: joinAnswer(events, runId) };
    return end !== undefined;
  });
  if (end === undefined) throw new Error('the run did not end');
  return end;
}

/** The runs that have started by now. */
async function startedRuns(): Promise<unknown[]> {
  return (await rig.seen()).filter(({ type }) => type === 'run.started').map(({ data }) => data['runId']);
}

describe('a worker', () => {
  it('takes only the requests of its agents: other requests stay queued', async () => {
    setup();
    const poet = new PlayedModel();
    rig.startWorker(8, { name: 'coder' });
    const prompt = await rig.prompt('a poem', { agent: 'poet' });
    await rig.clock.advance(60_000);
    expect(await startedRuns()).toEqual([]);
    rig.startWorker(8, { name: 'poet', provider: poet });
    (await poet.call(0)).say('roses').finish();
    expect(await ended(prompt)).toMatchObject({ type: 'run.completed', text: 'roses' });
    expect(rig.model.calls).toEqual([]);
  });

  it('answers as each agent is configured: model, system prompt and provider', async () => {
    setup();
    const [poet, coder] = [new PlayedModel(), new PlayedModel()];
    rig.startWorker(
      8,
      { name: 'poet', provider: poet, model: 'verse', systemPrompt: 'rhyme' },
      { name: 'coder', provider: coder, model: 'prose' },
    );
    const first = await rig.prompt('a poem', { agent: 'poet' });
    (await poet.call(0)).say('roses').finish();
    await ended(first);
    const second = await rig.prompt('a program', { agent: 'coder' });
    expect((await poet.call(0)).request).toMatchObject({
      model: 'verse',
      messages: [{ role: 'system', content: 'rhyme' }, { role: 'user' }],
    });
    expect((await coder.call(0)).request).toMatchObject({
      model: 'prose',
      messages: [{ role: 'user' }, { role: 'assistant', content: 'roses' }, { role: 'user' }],
    });
    (await coder.call(0)).finish();
    await ended(second);
    expect((await rig.seen()).filter(({ type }) => type === 'run.started').map(({ data }) => data['model'])).toEqual([
      'verse',
      'prose',
    ]);
  });

  it('has no more runs of an agent than that agent may have, and serves other agents meanwhile', async () => {
    setup();
    const [slow, quick] = [new PlayedModel(), new PlayedModel()];
    const worker = rig.startWorker(
      8,
      { name: 'slow', provider: slow, concurrency: 1 },
      { name: 'quick', provider: quick },
    );
    expect(worker.runsMax).toBe(9);
    const elsewhere = (sessionId: string, agent: string): Promise<SentPrompt> =>
      rig.runs.send(
        rig.alice,
        { ...rig.ref, sessionId },
        { content: 'x', agent, model: '', priority: 'normal', onBusy: 'queue' },
      );
    await elsewhere('one', 'slow');
    await elsewhere('two', 'slow');
    await elsewhere('three', 'quick');
    (await quick.call(0)).finish();
    await eventually(() => worker.activeRuns === 1);
    expect(slow.calls).toHaveLength(1);
    (await slow.call(0)).finish();
    (await slow.call(1)).finish();
    await eventually(() => worker.activeRuns === 0);
  });
});

describe('a prompt that a gateway accepted without knowing the agent', () => {
  it.each<[string, Partial<Agent>, { model?: string; content?: string }, string, string]>([
    [
      'names a model that the agent does not have',
      { models: ['large'] },
      { model: 'huge' },
      'unknown-model',
      'with that model',
    ],
    [
      'is too long for it',
      { promptCharsMax: 5 },
      { content: 'longer' },
      'content-too-large',
      'it has 6 characters, and the agent takes at most 5',
    ],
  ])('and %s fails, and the model is never asked', async (_what, agent, { content = 'hello', ...more }, code, says) => {
    setup(agent).startWorker();
    const refused = await rig.prompt(content, more);
    expect(await ended(refused)).toMatchObject({
      type: 'run.failed',
      error: { code, message: expect.stringContaining(says) as unknown, retryable: false },
    });
    expect(rig.model.calls).toEqual([]);
    // The chat continues.
    const fits = await rig.prompt('hey', { model: agent.models?.[0] ?? '' });
    (await rig.model.call(0)).say('yes').finish();
    expect(await ended(fits)).toMatchObject({ type: 'run.completed', text: 'yes' });
  });

  it('is answered with another model of the agent when it names one', async () => {
    setup({ models: ['large'] }).startWorker();
    await rig.prompt('hello', { model: 'large' });
    expect((await rig.model.call(0)).request.model).toBe('large');
  });
});

it('fails when the answer is longer than the agent allows, keeps the text so far, and the connection to the model closes', async () => {
  setup({ answerCharsMax: 10 }).startWorker();
  const prompt = await rig.prompt('hello');
  const call = await rig.model.call(0);
  call.say('ten or so ');
  await eventually(async () => joinAnswer(await rig.seen(), prompt.runId) === 'ten or so ');
  call.say('and more');
  expect(await ended(prompt)).toMatchObject({
    type: 'run.failed',
    error: { code: 'answer-too-large', retryable: false },
    text: 'ten or so ',
  });
  expect(call.isAborted).toBe(true);
});
