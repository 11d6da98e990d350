// Options and results of a prompt, from its append to the request to the model.
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunOptions } from '../../src/session/events/run-options.ts';
import { completionBody } from '../../src/worker/providers/openai/completion-request.ts';
import { readOptions } from '../../src/worker/run/read-options.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import type { ModelMessage, ProviderRequest } from '../../src/worker/provider.ts';
import { ChatRig, type PlayedCall, type RigOptions } from '../support/chat-rig.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import { eventually } from '../support/wait-for.ts';

const tools = [{ name: 'look', description: 'looks', parameters: { type: 'object' } }];

function start(options: RigOptions = {}): ChatRig {
  const rig = new ChatRig(options);
  onTestFinished(() => rig.close());
  rig.startWorker();
  return rig;
}

async function finished(rig: ChatRig, call: PlayedCall): Promise<void> {
  call.finish();
  await idle(rig);
}

async function idle(rig: ChatRig): Promise<void> {
  await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
}

describe('the options of a prompt', () => {
  it('reach the model, in no event and no checkpoint, and are those of its other answers too', async () => {
    const rig = start({ agent: { systemPrompt: 'be brief' } });
    const options: RunOptions = { tools, temperature: 0.5, instructions: 'be gentle' };
    const sent = await rig.prompt('x', { messageId: 'm', options });
    const call = await rig.model.call(0);
    expect(call.request.options).toEqual(options);
    expect(call.request.messages[0]).toEqual({ role: 'system', content: 'be brief\n\nbe gentle' });
    expect(JSON.stringify((await rig.log.load(rig.ref))?.state)).not.toContain('gentle');
    await finished(rig, call.say('y'));
    expect(JSON.stringify(await rig.seen())).not.toContain('gentle');
    expect(await rig.prompt('x', { messageId: 'm', options })).toMatchObject({ runId: sent.runId });
    for (const other of [{}, { options: { ...options, temperature: 1 } }])
      await expect(rig.prompt('x', { messageId: 'm', ...other })).rejects.toMatchObject({ code: 'message-conflict' });
    const again = { messageId: 'm', priority: 'normal', onBusy: 'queue' } as const;
    await rig.branches.regenerate(rig.alice, rig.ref, { ...again, admit: (_agent, model) => model });
    const second = await rig.model.call(1);
    expect(second.request.options).toEqual(options);
    await finished(rig, second.say('z'));
    await rig.prompt('more');
    const third = await rig.model.call(2);
    expect(third.request.options).toBeUndefined();
    expect(third.request.messages[0]).toEqual({ role: 'system', content: 'be brief' });
    await finished(rig, third.say('.'));
  });

  it('fail the run with log-damaged where their record is lost', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    await rig.prompt('x', { options: { temperature: 1 } });
    const loaded = await rig.log.load(rig.ref);
    const [run] = loaded?.state.runs ?? [];
    if (loaded === undefined || run === undefined) throw new Error('no run waits');
    const { epoch } = loaded;
    const at = run.queuedAt;
    const lost = { kind: 'lost', from: at, to: at } as const;
    const broker = wrapBroker(rig.broker, {
      read: async () => Promise.resolve({ kind: 'batch', epoch, items: [lost], next: at + 1, end: true }),
    });
    const read = readOptions(broker, chatTopic(rig.ref), epoch, run);
    await expect(read).rejects.toMatchObject({ name: 'AgentError', code: 'log-damaged', retryable: true });
  });

  it('fail the run where only the worker knows that its agent does not take them', async () => {
    const rig = start({ agent: { allow: ['temperature'] } });
    const { runId } = await rig.prompt('x', { options: { temperature: 1, tools } });
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.failed'));
    const failed = (await rig.seen()).find(({ type }) => type === 'run.failed')?.data;
    expect(failed).toMatchObject({ runId, error: { code: 'option-refused', retryable: false } });
    expect((failed?.['error'] as { message: string }).message).toContain('tools');
    await rig.prompt('x', { options: { temperature: 1 } });
    await finished(rig, (await rig.model.call(0)).say('y'));
  });
});

describe('the results of calls', () => {
  it('come with the next prompt, which the model receives behind its calls, once on each way to it', async () => {
    const rig = start();
    await rig.prompt('what is there?', { options: { tools } });
    const call = await rig.model.call(0);
    call.say(
      'Let me look.',
      { type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{"at":1}' },
      { type: 'tool-call', index: 1, id: 'c2', name: 'look', argumentsText: '{"at":' },
      { type: 'tool-call', index: 1, argumentsText: '2}' },
    );
    call.say({ type: 'finish', reason: 'tool-calls' });
    await idle(rig);
    const toolResults = [
      { toolCallId: 'c2', error: 'too far' },
      { toolCallId: 'c1', result: { seen: 'a house' } },
    ];
    const sent = await rig.prompt('', { messageId: 'r', toolResults, options: { tools } });
    expect(await rig.prompt('', { messageId: 'r', toolResults, options: { tools } })).toMatchObject({
      runId: sent.runId,
    });
    const second = await rig.model.call(1);
    const told: ModelMessage[] = [
      { role: 'user', content: 'what is there?' },
      {
        role: 'assistant',
        content: 'Let me look.',
        toolCalls: [
          { toolCallId: 'c1', toolName: 'look', arguments: '{"at":1}' },
          { toolCallId: 'c2', toolName: 'look', arguments: '{"at":2}' },
        ],
      },
      { role: 'tool', toolCallId: 'c1', content: '{"seen":"a house"}' },
      { role: 'tool', toolCallId: 'c2', content: '{"error":"too far"}' },
    ];
    expect(second.request.messages).toEqual(told);
    await finished(rig, second.say('A house.'));
    await rig.prompt('and now?');
    const third = await rig.model.call(2);
    const answer = { role: 'assistant', content: 'A house.' };
    expect(third.request.messages).toEqual([...told, answer, { role: 'user', content: 'and now?' }]);
    await finished(rig, third.say('.'));
    const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(messages[2]).toMatchObject({ role: 'tool', content: '', toolResults, status: 'sent' });
    expect((await rig.seen()).find(({ data }) => data['messageId'] === 'r')?.data).toMatchObject({ toolResults });
  });

  it('do not count as the content of a prompt', async () => {
    const rig = start({ agent: { promptCharsMax: 5 } });
    await rig.prompt('look');
    const call = await rig.model.call(0);
    call.say({ type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{}' });
    await finished(rig, call);
    await rig.prompt('', { toolResults: [{ toolCallId: 'c1', result: 'a house with a garden' }] });
    const second = await rig.model.call(1);
    expect(second.request.messages.at(-1)).toMatchObject({ role: 'tool', content: 'a house with a garden' });
    await finished(rig, second.say('.'));
  });

  it('of calls that were never made fail the run, and the chat continues', async () => {
    const rig = start();
    await rig.prompt('', { toolResults: [{ toolCallId: 'c1', result: 1 }] });
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.failed'));
    const failed = (await rig.seen()).find(({ type }) => type === 'run.failed')?.data;
    expect(failed?.['error']).toMatchObject({ code: 'unknown-tool-call' });
    await rig.prompt('hello');
    const call = await rig.model.call(0);
    expect(call.request.messages).toEqual([{ role: 'user', content: 'hello' }]);
    await finished(rig, call.say('hi'));
  });
});

describe('the body for a model server', () => {
  const request: Omit<ProviderRequest, 'signal'> = {
    run: { tenant: 't', sessionId: 's', runId: 'r', attempt: 1 },
    model: 'm',
    messages: [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: '', toolCalls: [{ toolCallId: 'c', toolName: 'look', arguments: '{}' }] },
      { role: 'tool', toolCallId: 'c', content: 'found' },
    ],
  };
  const bodyOf = (options: RunOptions): unknown =>
    JSON.parse(completionBody({ ...request, options }, 'none', new Set(['stream'])));

  it('has every option under the name of Chat Completions, and the calls with their results', () => {
    expect(
      bodyOf({
        tools,
        toolChoice: { toolName: 'look' },
        responseFormat: { type: 'json_object' },
        temperature: 0,
        topP: 0.5,
        maxOutputTokens: 7,
        stop: ['a', 'b'],
        seed: 0,
        reasoningEffort: 'low',
        instructions: 'in the messages',
      }),
    ).toEqual({
      model: 'm',
      messages: [
        { role: 'user', content: 'x' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'c', content: 'found' },
      ],
      tools: [{ type: 'function', function: tools[0] }],
      tool_choice: { type: 'function', function: { name: 'look' } },
      response_format: { type: 'json_object' },
      temperature: 0,
      top_p: 0.5,
      max_tokens: 7,
      stop: ['a', 'b'],
      seed: 0,
      reasoning_effort: 'low',
    });
  });

  it('has no field of an option that was not given', () => {
    expect(Object.keys(bodyOf({}) as object)).toEqual(['model', 'messages']);
    expect(bodyOf({ toolChoice: 'none' })).toMatchObject({ tool_choice: 'none' });
  });
});
