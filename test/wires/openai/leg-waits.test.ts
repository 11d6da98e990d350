// Completions and responses of runs that wait for a client or a human, with the stock client.
import type OpenAI from 'openai';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses';
import { describe, expect, it } from 'vitest';
import type { NewInput } from '../../../src/session/waits/new-wait.ts';
import { WaitNode, type PlayedRun } from '../../support/waiting-run.ts';
import { turn } from '../../support/wait-for.ts';
import { failureOf, startOpenai, type OpenaiGateway } from './stock-client.ts';

const TOOL: NewInput = { key: 'a', kind: 'tool', toolCallId: 'c1', toolName: 'look' };
const APPROVAL: NewInput = { key: 'b', kind: 'approval', toolCallId: 'c2', toolName: 'pay', message: 'Pay 5?' };
const QUESTION: NewInput = { key: 'c', kind: 'question', message: 'Which one?', choices: ['x', 'y'] };
const FORM: NewInput = { key: 'd', kind: 'question', message: 'How many?', schema: { type: 'integer' } };

interface Waiting extends OpenaiGateway {
  readonly openai: OpenAI;
  readonly node: WaitNode;
  /** Says `one `, calls what the inputs are about, and asks. The id of the run. */
  readonly ask: (session: string, ...inputs: readonly NewInput[]) => Promise<string>;
  /** Takes the next leg once everything is answered. */
  readonly resume: (session: string) => Promise<PlayedRun>;
  /** The next leg says `two`, and ends the run. `part`: its first one. */
  readonly finish: (session: string, part: number) => Promise<void>;
}

async function start(): Promise<Waiting> {
  const gateway = await startOpenai();
  const { h, client } = gateway;
  const node = new WaitNode(h.broker, h.clock);
  const taken = async (sessionId: string): Promise<PlayedRun> => {
    const ref = { tenant: 'default', sessionId };
    for (;;) {
      const run = (await h.commandLog.load(ref))?.state.runs.find(({ state }) => state === 'queued');
      if (run !== undefined) return node.take(ref, run.runId);
      await turn();
    }
  };
  return {
    ...gateway,
    openai: client(),
    node,
    resume: taken,
    ask: async (session, ...inputs) => {
      const run = await taken(session);
      const { runId, answerId: messageId } = run.run;
      await run.say(0, 0, 'one ');
      let part = 1;
      for (const { kind, toolCallId, toolName = '' } of inputs) {
        if (toolCallId === undefined) continue;
        const executor = kind === 'tool' ? 'client' : 'agent';
        await run.write(
          { type: 'part.started', runId, part, kind: 'tool-call', toolCallId, toolName, executor },
          { type: 'delta', runId, messageId, part, kind: 'tool-call', at: 0, text: '{"a":1}' },
        );
        part += 1;
      }
      await run.ask({ inputs });
      return runId;
    },
    finish: async (session, part) => {
      const run = await taken(session);
      await run.say(part, 0, 'two');
      await run.complete();
    },
  };
}

describe('a completion of a run that waits', () => {
  type Asking = [OpenAI.ChatCompletionCreateParamsNonStreaming, { readonly headers: Record<string, string> }];
  const send = (session: string, message: OpenAI.ChatCompletionMessageParam): Asking => [
    { model: 'default', messages: [message] },
    { headers: { 'x-session-id': session } },
  ];
  const asking = (session: string): Asking => send(session, { role: 'user', content: 'go' });
  const answering = (session: string, tool_call_id: string, content: string): Asking =>
    send(session, { role: 'tool', tool_call_id, content });
  const streamed = (openai: OpenAI, [{ model, messages }, options]: Asking): Promise<OpenAI.ChatCompletion> =>
    openai.chat.completions.stream({ model, messages }, options).finalChatCompletion();

  it('ends with the calls, and the results of them are answered with the next leg', async () => {
    const { openai, ask, finish } = await start();
    const asked = openai.chat.completions.create(...asking('s'));
    const runId = await ask('s', TOOL);
    const [choice] = (await asked).choices;
    expect(choice).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: 'one ', tool_calls: [{ id: 'c1', function: { name: 'look', arguments: '{"a":1}' } }] },
    });
    const next = openai.chat.completions.create(...answering('s', 'c1', 'a chair'));
    await finish('s', 2);
    const completion = await next;
    expect(completion).toMatchObject({
      id: `chatcmpl-${runId}.s.1`,
      choices: [{ finish_reason: 'stop', message: { content: 'two' } }],
    });
    expect(completion.choices[0]?.message.tool_calls).toBeUndefined();
    expect(await openai.chat.completions.retrieve(`chatcmpl-${runId}.s.1`)).toEqual(completion);
    expect(await openai.chat.completions.retrieve(`chatcmpl-${runId}.s`)).toEqual(await asked);
    expect(await failureOf(openai.chat.completions.retrieve(`chatcmpl-${runId}.s.2`))).toMatchObject({ status: 404 });
    // The same answer again is the same leg; another one is refused, also behind the end.
    expect(await openai.chat.completions.create(...answering('s', 'c1', 'a chair'))).toEqual(completion);
    const other = openai.chat.completions.create(...answering('s', 'c1', 'a table'));
    expect(await failureOf(other)).toMatchObject({ status: 409, code: 'already-answered' });
  });

  it('streams one leg only, and a question is a call of `ask_user`', async () => {
    const { openai, ask, finish } = await start();
    const asked = streamed(openai, asking('s'));
    const runId = await ask('s', TOOL, QUESTION);
    const [choice] = (await asked).choices;
    const calls = choice?.message.tool_calls ?? [];
    const [tool, question] = calls.filter((call) => call.type === 'function');
    expect([choice?.finish_reason, choice?.message.content]).toEqual(['tool_calls', 'one ']);
    expect([tool?.function.name, question?.function.name]).toEqual(['look', 'ask_user']);
    expect(JSON.parse(question?.function.arguments ?? '')).toEqual({ message: 'Which one?', choices: ['x', 'y'] });
    const half = openai.chat.completions.create(...answering('s', 'c1', 'a chair'));
    expect(await failureOf(half)).toMatchObject({ status: 400, param: 'input' });
    const [params, options] = answering('s', 'c1', 'a chair');
    const messages = [...params.messages, { role: 'tool' as const, tool_call_id: question?.id ?? '', content: 'y' }];
    const next = streamed(openai, [{ ...params, messages }, options]);
    await finish('s', 2);
    expect(await next).toMatchObject({
      id: `chatcmpl-${runId}.s.1`,
      choices: [{ finish_reason: 'stop', message: { content: 'two' } }],
    });
  });

  it('refuses a second, different answer while the run goes on', async () => {
    const { openai, ask, resume } = await start();
    const asked = openai.chat.completions.create(...asking('s'));
    await ask('s', FORM);
    const call = (await asked).choices[0]?.message.tool_calls?.[0]?.id ?? '';
    const wrong = openai.chat.completions.create(...answering('s', call, 'many'));
    expect(await failureOf(wrong)).toMatchObject({ status: 400, code: 'invalid-answer' });
    const next = openai.chat.completions.create(...answering('s', call, '5'));
    const run = await resume('s');
    const other = openai.chat.completions.create(...answering('s', call, '6'));
    expect(await failureOf(other)).toMatchObject({ status: 409, code: 'already-answered' });
    await run.complete();
    expect((await next).choices[0]?.finish_reason).toBe('stop');
  });

  it('has no word for an approval, and says so', async () => {
    const { h, openai, ask, finish } = await start();
    const asked = openai.chat.completions.create(...asking('s'));
    const refused = failureOf(asked);
    const runId = await ask('s', APPROVAL);
    expect(await refused).toMatchObject({ status: 409, code: 'input-required' });
    expect(((await refused) as { headers: Headers }).headers.get('x-should-retry')).toBe('false');
    const other = failureOf(streamed(openai, asking('t')));
    await ask('t', APPROVAL);
    expect(await other).toMatchObject({ code: 'input-required' });
    const read = openai.chat.completions.retrieve(`chatcmpl-${runId}.s`);
    expect(await failureOf(read)).toMatchObject({ code: 'input-required' });
    const [input] = (await h.commandLog.load({ tenant: 'default', sessionId: 's' }))?.state.runs[0]?.inputs ?? [];
    await openai.responses.create({
      model: 'default',
      background: true,
      previous_response_id: `resp_${runId}.s`,
      input: [{ type: 'mcp_approval_response', approval_request_id: input?.inputId ?? '', approve: true }],
    });
    await finish('s', 2);
    const next = await openai.chat.completions.retrieve(`chatcmpl-${runId}.s.1`);
    expect(next.choices[0]?.message.content).toBe('two');
  });
});

describe('a response of a run that waits', () => {
  const asking = (session: string) => ({ model: 'default', input: 'go', conversation: session });
  const output = (call_id: string, text: string) => [{ type: 'function_call_output' as const, call_id, output: text }];
  const approval = (approval_request_id: string, approve: boolean) => [
    { type: 'mcp_approval_response' as const, approval_request_id, approve, reason: 'too much' },
  ];

  it.each([true, false])('asks for an approval, and goes on as the next response: %s', async (approve) => {
    const { openai, ask, finish } = await start();
    const asked = openai.responses.create(asking('s'));
    const runId = await ask('s', APPROVAL);
    const response = await asked;
    const request = response.output.at(-1);
    expect(response).toMatchObject({ id: `resp_${runId}.s`, status: 'completed', output_text: 'one ' });
    expect(request).toMatchObject({ type: 'mcp_approval_request', name: 'pay', arguments: '{"a":1}' });
    const input = approval(request?.id ?? '', approve);
    const next = openai.responses.create({ model: 'default', previous_response_id: response.id, input });
    await finish('s', 2);
    expect(await next).toMatchObject({ id: `resp_${runId}.s.1`, status: 'completed', output_text: 'two' });
    const reads = await Promise.all(
      [`resp_${runId}.s`, `resp_${runId}.s.1`].map((id) => openai.responses.retrieve(id)),
    );
    expect(reads.map(({ output_text: text }) => text)).toEqual(['one ', 'two']);
  });

  it('streams each leg with numbers that resume exactly, at every place', async () => {
    const { openai, ask, finish } = await start();
    const all = async (stream: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> => {
      const events = [];
      for await (const event of stream) events.push(event);
      return events;
    };
    const first = all(await openai.responses.create({ ...asking('s'), stream: true }));
    const runId = await ask('s', TOOL, QUESTION);
    const asked = await first;
    const last = asked.at(-1);
    const items = last?.type === 'response.completed' ? last.response.output : [];
    expect(items.map(({ type }) => type)).toEqual(['message', 'function_call', 'function_call']);
    const question = items[2]?.type === 'function_call' ? items[2].call_id : '';
    const input = [...output('c1', 'a chair'), ...output(question, 'y')];
    const previous_response_id = `resp_${runId}.s`;
    const second = all(await openai.responses.create({ model: 'default', previous_response_id, input, stream: true }));
    await finish('s', 2);
    const told = await second;
    expect(told.map(({ type }) => type).filter((type) => !type.includes('item') && !type.includes('part'))).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_text.delta',
      'response.output_text.done',
      'response.completed',
    ]);
    for (const [id, events] of [
      [`resp_${runId}.s`, asked],
      [`resp_${runId}.s.1`, told],
    ] as const) {
      const numbers = events.map(({ sequence_number: number }) => number);
      expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
      expect(await all(await openai.responses.retrieve(id, { stream: true }))).toEqual(events);
      for (const [place, { sequence_number: starting_after }] of events.entries()) {
        const rest = await all(await openai.responses.retrieve(id, { stream: true, starting_after }));
        expect([place, rest]).toEqual([place, events.slice(place + 1)]);
      }
      const final = events.at(-1);
      const object = final?.type === 'response.completed' ? final.response : undefined;
      expect(await openai.responses.retrieve(id)).toMatchObject({ id, output: object?.output });
    }
  });

  it('has a number of its own for each frame where many calls end in one record', async () => {
    const { openai, ask } = await start();
    const all = async (stream: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> => {
      const events = [];
      for await (const event of stream) events.push(event);
      return events;
    };
    const first = all(await openai.responses.create({ ...asking('s'), stream: true }));
    const calls = Array.from({ length: 12 }, (_, i) => ({ ...TOOL, key: `t${i}`, toolCallId: `c${i}` }));
    const runId = await ask('s', QUESTION, FORM, ...calls);
    const events = await first;
    const numbers = events.map(({ sequence_number: number }) => number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    for (const [place, { sequence_number: starting_after }] of events.entries()) {
      const rest = await all(await openai.responses.retrieve(`resp_${runId}.s`, { stream: true, starting_after }));
      expect([place, rest]).toEqual([place, events.slice(place + 1)]);
    }
  });

  it('is answered by its conversation, once', async () => {
    const { openai, ask, resume } = await start();
    const asked = openai.responses.create(asking('s'));
    const runId = await ask('s', TOOL);
    await asked;
    const answer = (text: string) => ({ ...asking('s'), input: output('c1', text), background: true });
    expect(await openai.responses.create(answer('a'))).toMatchObject({ id: `resp_${runId}.s.1`, status: 'queued' });
    expect(await openai.responses.create(answer('a'))).toMatchObject({ id: `resp_${runId}.s.1`, status: 'queued' });
    expect(await failureOf(openai.responses.create(answer('b')))).toMatchObject({
      status: 409,
      code: 'already-answered',
    });
    // The leg that asked is over, so Stop leaves it and the run as they are.
    expect(await openai.responses.cancel(`resp_${runId}.s`)).toMatchObject({ status: 'completed' });
    const run = await resume('s');
    expect(await openai.responses.retrieve(`resp_${runId}.s.1`)).toMatchObject({ status: 'in_progress' });
    await run.complete();
    expect(await openai.responses.retrieve(`resp_${runId}.s.1`)).toMatchObject({ status: 'completed' });
  });

  it('is cancelled by Stop while it waits, and then takes no answer', async () => {
    const { openai, ask } = await start();
    const asked = openai.responses.create(asking('s'));
    const runId = await ask('s', TOOL);
    const { id } = await asked;
    expect(await openai.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
    expect(await openai.responses.retrieve(id)).toMatchObject({ status: 'cancelled' });
    expect(await failureOf(openai.responses.retrieve(`resp_${runId}.s.1`))).toMatchObject({ status: 404 });
    const answer = { model: 'default', previous_response_id: id, input: output('c1', 'late') };
    expect(await failureOf(openai.responses.create(answer))).toMatchObject({ status: 409, code: 'not-waiting' });
  });

  it('goes on as the next response where the time of a wait is over', async () => {
    const { h, node, openai, ask, finish } = await start();
    const expire = async (sessionId: string, runId: string): Promise<void> => {
      h.clock.jumpWall(8 * 24 * 60 * 60 * 1_000);
      expect(await node.inputs.expire({ tenant: 'default', sessionId, runId, leg: 0 })).toBe(0);
    };
    const client = (): OpenAI => openai.withOptions({ apiKey: h.token('ann') });
    const asked = openai.responses.create(asking('s'));
    const runId = await ask('s', APPROVAL);
    await asked;
    await expire('s', runId);
    await finish('s', 2);
    const ids = [`resp_${runId}.s`, `resp_${runId}.s.1`];
    const legs = await Promise.all(ids.map((id) => client().responses.retrieve(id)));
    expect(legs.map(({ status, output_text: text }) => [status, text])).toEqual([
      ['completed', 'one '],
      ['completed', 'two'],
    ]);
  });

  it('refuses what nothing asks for', async () => {
    const { openai, ask } = await start();
    const asked = openai.responses.create(asking('s'));
    await ask('s', APPROVAL);
    const { id } = await asked;
    const answer = { model: 'default', previous_response_id: id };
    for (const input of [approval('other', true), output('c2', 'done')])
      expect(await failureOf(openai.responses.create({ ...answer, input }))).toMatchObject({ status: 400 });
    const own = openai.responses.create({ model: 'default', input: approval('other', true) });
    expect(await failureOf(own)).toMatchObject({ status: 400, param: 'input' });
  });
});
