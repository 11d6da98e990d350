// What an AG-UI client gives a run besides its messages: tools of its own and their results, context, and options. The
// worker is real, and the test plays its model.
import type { Context, HttpAgent, Message, Tool } from '@ag-ui/client';
import { describe, expect, it } from 'vitest';
import type { AgentLimits } from '../../../src/session/agent-limits.ts';
import { startWorker } from '../openai/stock-client.ts';
import { eventually } from '../../support/wait-for.ts';
import { run, startAgUi, textOf, until, user, type AgUiRig } from './ag-ui-rig.ts';

const LOOK: Tool = { name: 'look', description: 'Looks around', parameters: { type: 'object' } };
const CONTEXT: Context[] = [
  { description: 'The open page', value: 'Offers' },
  { description: 'The user', value: 'Ann' },
];

/** A run that has ended with a call of the client's tool. */
async function called(rig: AgUiRig, model: ReturnType<typeof startWorker>): Promise<HttpAgent> {
  const agent = rig.agent([user('p')]);
  const done = run(agent, 'r1', { tools: [LOOK] });
  const first = await model.call(0);
  first.say(
    'Let me look.',
    { type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{"at":1}' },
    { type: 'finish', reason: 'tool-calls' },
  );
  expect(await done).toEqual({ outcome: 'success', pending: ['c1'] });
  return agent;
}

function result(id: string, content: string, more: object = {}): Message {
  return { id, role: 'tool', toolCallId: 'c1', content, ...more };
}

describe('an AG-UI client', () => {
  it('gives its tools, its context and options to the model', async () => {
    const rig = await startAgUi();
    const model = startWorker(rig.h);
    const options = { temperature: 0.5, toolChoice: 'required' };
    const forwardedProps = { holdline: { options }, theme: 'dark' };
    const done = run(rig.agent([user('p')]), 'r1', { tools: [LOOK], context: CONTEXT, forwardedProps });
    const call = await model.call(0);
    const { request } = call;
    expect(request.options).toMatchObject({ ...options, tools: [LOOK] });
    expect(request.messages).toEqual([
      { role: 'system', content: 'The open page:\nOffers\n\nThe user:\nAnn' },
      { role: 'user', content: 'go' },
    ]);
    call.finish();
    expect(await done).toEqual({ outcome: 'success' });
  });

  it('names the model and the priority of its run', async () => {
    const rig = await startAgUi({
      config: { agents: new Map<string, AgentLimits>([['default', { model: 'm', models: ['other'] }]]) },
    });
    const forwardedProps = { holdline: { model: 'other', priority: 'low' } };
    const done = run(rig.agent([user('p')]), 'r1', { forwardedProps });
    const worker = await rig.work();
    expect(worker.run).toMatchObject({ model: 'other', priority: 'low' });
    await worker.complete();
    await done;
  });

  it('answers the calls of its tools, and is sent what the model says then', async () => {
    const rig = await startAgUi();
    const model = startWorker(rig.h);
    const agent = await called(rig, model);
    agent.addMessage(result('t1', 'a chair'));
    const done = run(agent, 'r2', { tools: [LOOK] });
    const second = await model.call(1);
    expect(second.request.messages).toMatchObject([
      { role: 'user', content: 'go' },
      { role: 'assistant', toolCalls: [{ toolCallId: 'c1', toolName: 'look', arguments: '{"at":1}' }] },
      { role: 'tool', toolCallId: 'c1', content: 'a chair' },
    ]);
    second.say('a chair.').finish();
    expect(await done).toEqual({ outcome: 'success' });
    expect(agent.messages.map(({ role, content }) => [role, content])).toEqual([
      ['user', 'go'],
      ['assistant', 'Let me look.'],
      ['tool', 'a chair'],
      ['assistant', 'a chair.'],
    ]);
  });

  it('has one answer to its results when it goes away in it and comes back, with other context by then', async () => {
    const rig = await startAgUi();
    const model = startWorker(rig.h);
    const agent = await called(rig, model);
    agent.addMessage(result('t1', 'a chair'));
    const first = run(agent, 'r2', { tools: [LOOK], context: CONTEXT });
    const second = await model.call(1);
    second.say('a ');
    await eventually(() => agent.messages.at(-1)?.content === 'a ');
    agent.abortRun();
    await first;
    const back = rig.agent(agent.messages);
    const done = run(back, 'r3', { tools: [], context: CONTEXT.slice(1) });
    second.say('chair.').finish();
    expect(await done).toEqual({ outcome: 'success' });
    expect([back.messages.at(-1)?.content, back.messages.length, model.calls.length]).toEqual(['a chair.', 4, 2]);
  });

  it('gives an error of a tool, and results together with a new message', async () => {
    const rig = await startAgUi();
    const model = startWorker(rig.h);
    const agent = await called(rig, model);
    agent.addMessages([result('t1', '', { error: 'it is dark' }), user('p2', 'go on')]);
    const done = run(agent, 'r2');
    const second = await model.call(1);
    expect(second.request.messages.slice(2)).toMatchObject([
      { role: 'tool', toolCallId: 'c1', content: expect.stringContaining('it is dark') as string },
      { role: 'user', content: 'go on' },
    ]);
    second.finish();
    await done;
  });

  it('attaches with results of the agent in the answer that it holds', async () => {
    const rig = await startAgUi();
    const agent = rig.agent([user('p')]);
    const first = run(agent, 'r1');
    const worker = await rig.work();
    const { runId } = worker.run;
    await worker.add({ type: 'part.started', runId, part: 0, kind: 'tool-call', toolCallId: 'c', toolName: 'look' });
    await worker.sayIn(0, 'tool-call', '{}');
    await worker.add({ type: 'tool.result', runId, toolCallId: 'c', result: 'a chair' });
    await worker.sayIn(1, 'text', 'a');
    await until(agent, 'a');
    agent.abortRun();
    await first;
    const back = rig.agent(agent.messages);
    expect(back.messages.at(-1)?.role).toBe('tool');
    const done = run(back, 'r2');
    await worker.sayIn(1, 'text', ' chair');
    await worker.complete();
    expect(await done).toEqual({ outcome: 'success' });
    expect(textOf(back)).toBe('a chair');
  });

  it('is refused what the agent does not take, with the field, and nothing is stored', async () => {
    const agents = new Map<string, AgentLimits>([['default', { model: 'm', allow: ['topP'] }]]);
    const { h } = await startAgUi({ config: { agents } });
    const input = { threadId: 't', runId: 'r', messages: [user('p')], tools: [], context: [], state: {} };
    const cases: readonly (readonly [string, object])[] = [
      ['tools', { tools: [LOOK] }],
      ['context', { context: CONTEXT }],
      ['forwardedProps.holdline.options.seed', { forwardedProps: { holdline: { options: { seed: 1 } } } }],
      ['forwardedProps.holdline.options.other', { forwardedProps: { holdline: { options: { other: 1 } } } }],
    ];
    for (const [param, more] of cases) {
      const { status, body } = await h.call('POST', '/ag-ui/default', 'ann', { ...input, ...more });
      expect([status, body.error]).toMatchObject([400, { code: 'option-refused', details: { param } }]);
    }
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });

  it('is refused another text under the id of a prompt, and another agent', async () => {
    const agents = new Map<string, AgentLimits>([
      ['default', { model: 'm' }],
      ['other', { model: 'm' }],
    ]);
    const { h } = await startAgUi({ config: { agents } });
    const body = { messageId: 'p', content: 'go', options: { seed: 1 } };
    await h.call('POST', '/v1/sessions/t/messages', 'ann', body);
    for (const [path, content] of [
      ['default', 'other'],
      ['other', 'go'],
    ] as const) {
      const input = { threadId: 't', runId: 'r', messages: [user('p', content)] };
      const answer = await h.call('POST', `/ag-ui/${path}`, 'ann', input);
      expect([answer.status, answer.body.error?.code]).toEqual([409, 'message-conflict']);
    }
  });
});
