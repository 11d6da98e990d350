// AG-UI with the stock client: whole streams, coming back, other answers, Stop, reading later, failures and refusals.
import type { HttpAgent, Message } from '@ag-ui/client';
import { describe, expect, it, vi } from 'vitest';
import { eventually, turn } from '../../support/wait-for.ts';
import { answerOf, run, startAgUi, textOf, until, user, type AgUiRig } from './ag-ui-rig.ts';

async function queued({ h }: AgUiRig): Promise<number> {
  const { body } = await h.call('GET', '/v1/sessions/t/runs', 'ann');
  return (body['runs'] as unknown[]).length;
}

describe('an AG-UI client', () => {
  it('is sent reasoning, text, calls and results, and the end', async () => {
    const rig = await startAgUi();
    const agent = rig.agent([user('p')]);
    const done = run(agent, 'r1');
    const worker = await rig.work();
    const { runId } = worker.run;
    await worker.sayIn(0, 'reasoning', 'hm');
    await worker.sayIn(1, 'text', 'Hello ', '🌍');
    await worker.add({ type: 'part.started', runId, part: 2, kind: 'tool-call', toolCallId: 'c', toolName: 'look' });
    await worker.sayIn(2, 'tool-call', '{"q":', '1}');
    await worker.add({ type: 'tool.result', runId, toolCallId: 'c', result: { found: 1 } });
    await worker.sayIn(3, 'text', 'More');
    await worker.complete();
    expect(await done).toEqual({ outcome: 'success' });
    const id = worker.run.answerId;
    const toolCalls = [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{"q":1}' } }];
    expect(answerOf(agent)).toEqual([
      { id: `${id}.r0`, role: 'reasoning', content: 'hm' },
      { id, role: 'assistant', content: 'Hello 🌍', toolCalls },
      { id: `${id}.2.result`, role: 'tool', toolCallId: 'c', content: '{"found":1}' },
      { id: `${id}.3`, role: 'assistant', content: 'More' },
    ]);
  });

  it('has the whole answer once when it goes away at each character and comes back with what it holds', async () => {
    const rig = await startAgUi();
    const whole = Array.from('The quick brown fox jumps');
    let agent = rig.agent([user('p')]);
    let done = run(agent, 'r0');
    const worker = await rig.work();
    for (const [i, character] of whole.entries()) {
      await worker.say(character);
      await until(agent, whole.slice(0, i + 1).join(''));
      agent.abortRun();
      await done;
      agent = rig.agent(agent.messages);
      // Every other time the client calls the request by another id.
      done = run(agent, `r${i % 2}`);
      await eventually(() => agent.isRunning);
    }
    await worker.complete();
    expect(await done).toEqual({ outcome: 'success' });
    expect([textOf(agent), await queued(rig)]).toEqual([whole.join(''), 1]);
  });

  it('attaches while the run waits and to the run of a second viewer, and replays it afterwards', async () => {
    const rig = await startAgUi();
    const [one, two] = [rig.agent([user('p')]), rig.agent([user('p')])];
    const ends = [run(one, 'r1')];
    const worker = await rig.work();
    ends.push(run(two, 'r2'));
    await worker.say('the answer');
    await Promise.all([until(one, 'the answer'), until(two, 'the answer')]);
    await worker.complete();
    expect(await Promise.all(ends)).toEqual([{ outcome: 'success' }, { outcome: 'success' }]);
    const later = [rig.agent([user('p')]), rig.agent(one.messages)];
    await run(later[0] as HttpAgent, 'r1');
    await run(later[1] as HttpAgent, 'r9');
    expect([...later.map(textOf), await queued(rig)]).toEqual(['the answer', 'the answer', 1]);
  });

  it('is given another answer for each new request, once', async () => {
    const rig = await startAgUi();
    const first = run(rig.agent([user('p')]), 'r1');
    const worker = await rig.work();
    await worker.say('one');
    await worker.complete();
    await first;
    const agents = [rig.agent([user('p')]), rig.agent([user('p')])];
    const ends = [run(agents[0] as HttpAgent, 'r2')];
    const other = await rig.work();
    ends.push(run(agents[1] as HttpAgent, 'r2'));
    await other.say('two');
    await Promise.all(agents.map(async (agent) => until(agent, 'two')));
    await other.complete();
    await Promise.all(ends);
    const again = [rig.agent([user('p')]), rig.agent(agents[0]?.messages ?? []), rig.agent([user('p')])];
    for (const [i, runId] of ['r2', 'r9', 'r1'].entries()) await run(again[i] as HttpAgent, runId);
    expect([...again.map(textOf), await queued(rig)]).toEqual(['two', 'two', 'one', 2]);
  });

  it('is given no other answer when it goes away while the gateway looks for the first', async () => {
    const rig = await startAgUi();
    const done = run(rig.agent([user('p')]), 'r1');
    await (await rig.work()).complete();
    await done;
    const agent = rig.agent([user('p')]);
    const { commandLog, gateway } = rig.h;
    const gone = new Promise<void>((resolve) => {
      gateway.app.server.on('request', ({ socket }) => socket.once('close', () => resolve()));
    });
    const snapshot = commandLog.snapshot.bind(commandLog);
    vi.spyOn(commandLog, 'snapshot').mockImplementation(async (ref) => {
      agent.abortRun();
      await gone;
      return snapshot(ref);
    });
    await run(agent, 'r1');
    await eventually(async () => (await rig.h.call('GET', '/metrics')).text.includes('wire="ag-ui"} 0'));
    for (let i = 0; i < 20; i += 1) await turn();
    vi.restoreAllMocks();
    expect(await queued(rig)).toBe(1);
  });

  it('takes a second turn', async () => {
    const rig = await startAgUi();
    const agent = rig.agent([user('p')]);
    for (const [i, text] of ['one', 'two'].entries()) {
      if (i > 0) agent.addMessage(user('q', 'next'));
      const done = run(agent, `r${i}`);
      const worker = await rig.work();
      await worker.say(text);
      await worker.complete();
      await done;
    }
    expect(agent.messages.map(({ content }) => content)).toEqual(['go', 'one', 'next', 'two']);
  });

  it('is stopped by the extension, and told of a failure', async () => {
    const rig = await startAgUi();
    for (const [i, end] of (['cancel', 'cancel all', 'fail'] as const).entries()) {
      const agent = rig.agent([user(`p${i}`)]);
      const done = run(agent, `r${i}`);
      const worker = await rig.work();
      await worker.say('half');
      await until(agent, 'half');
      if (end === 'fail') await worker.fail({ code: 'upstream', message: 'the model is gone', retryable: false });
      else {
        const body = { threadId: 't', ...(end === 'cancel' ? { runId: `r${i}` } : {}) };
        const { status, body: answer } = await rig.h.call('POST', '/ag-ui/default/cancel', 'ann', body);
        expect([status, answer['runId']]).toEqual([202, worker.run.runId]);
        await worker.cancelled('ann');
      }
      expect(await done).toEqual(end === 'fail' ? { error: 'the model is gone (upstream)' } : { outcome: 'cancelled' });
      expect(textOf(agent)).toBe('half');
    }
  });

  it('keeps the text of a takeover that says it again, and replaces it where it says something else', async () => {
    const rig = await startAgUi();
    const agent = rig.agent([user('p')]);
    const done = run(agent, 'r1');
    const worker = await rig.work();
    await worker.say('one two three');
    await until(agent, 'one two three');
    await worker.dropFrom(4, { takesOver: true });
    await worker.say('two ', 'three');
    await worker.dropFrom(4, { takesOver: true });
    await worker.say('too ', 'late');
    await worker.complete();
    expect(await done).toEqual({ outcome: 'success' });
    expect(textOf(agent)).toBe('one too late');
  });

  it('is sent a body without an end when the chat is removed before the run has ended', async () => {
    const rig = await startAgUi();
    const { h, url } = rig;
    const input = { threadId: 't', runId: 'r', messages: [user('p')] };
    const headers = { authorization: h.bearer('ann'), 'content-type': 'application/json' };
    const response = await fetch(`${url}/ag-ui/default`, { method: 'POST', headers, body: JSON.stringify(input) });
    await (await rig.work()).say('half');
    const body = response.text();
    await h.call('DELETE', '/v1/sessions/t', 'ann');
    await expect(body).rejects.toThrow('terminated');
  });

  it('is refused with the parameter at fault, and stores nothing', async () => {
    const { h } = await startAgUi();
    const input = { threadId: 't', runId: 'r', messages: [user('p')], tools: [], context: [], state: {} };
    const withContent = (content: unknown): unknown => ({ ...input, messages: [{ ...user('p'), content }] });
    const forwarding = (options: unknown): unknown => ({ ...input, forwardedProps: { holdline: { options } } });
    const cases: readonly (readonly [string, unknown])[] = [
      ['body', []],
      ['threadId', { ...input, threadId: 'a/b' }],
      ['runId', { ...input, runId: '' }],
      ['messages', { ...input, messages: 'go' }],
      ['messages', { ...input, messages: [{ id: 's', role: 'system', content: 'be' }] }],
      ['messages[0].id', { ...input, messages: [user('a b')] }],
      ['messages[0].role', { ...input, messages: [{ id: 'p', content: 'go' }] }],
      ['messages[0].content', withContent('')],
      ['messages[0].content[0]', withContent([{ type: 'binary', mimeType: 'image/png', data: 'AAAA' }])],
      ['messages[0].content[0].source', withContent([{ type: 'image', source: { type: 'file', value: 'f' } }])],
      ['tools', { ...input, tools: 'look' }],
      ['tools[0].name', { ...input, tools: [{ description: '' }] }],
      ['tools[0].name', { ...input, tools: [{ name: '', description: '' }] }],
      ['tools[0].description', { ...input, tools: [{ name: 'look', description: 1 }] }],
      ['tools[0].parameters', { ...input, tools: [{ name: 'look', description: '', parameters: [] }] }],
      ['tools', { ...input, tools: Array.from({ length: 129 }, () => ({ name: 'look', description: '' })) }],
      ['context[0]', { ...input, context: ['v'] }],
      ['context[0].description', { ...input, context: [{ value: 'v' }] }],
      ['context[0].value', { ...input, context: [{ description: 'd', value: 1 }] }],
      ['forwardedProps.holdline', { ...input, forwardedProps: { holdline: 'x' } }],
      ['forwardedProps.holdline.other', { ...input, forwardedProps: { holdline: { other: 1 } } }],
      ['forwardedProps.holdline.priority', { ...input, forwardedProps: { holdline: { priority: 'first' } } }],
      ['forwardedProps.holdline.model', { ...input, forwardedProps: { holdline: { model: 1 } } }],
      ['forwardedProps.holdline.options.topP', forwarding({ topP: 2 })],
      ['forwardedProps.holdline.options.tools', forwarding({ tools: [{ name: 'look' }] })],
      ['forwardedProps.holdline.options.instructions', forwarding({ instructions: 'be brief' })],
      ['messages[1].toolCallId', { ...input, messages: [user('p'), { id: 'r', role: 'tool', content: '1' }] }],
      ['messages[1].content', { ...input, messages: [user('p'), { id: 'r', role: 'tool', toolCallId: 'c' }] }],
      ['resume', { ...input, resume: 'i' }],
      ['resume[0]', { ...input, resume: ['i'] }],
      ['resume[0].status', { ...input, resume: [{ interruptId: 'i', status: 'done' }] }],
      ['resume[0].interruptId', { ...input, resume: [{ status: 'resolved' }] }],
    ];
    for (const [param, body] of cases) {
      const answer = await h.call('POST', '/ag-ui/default', 'ann', body);
      expect([param, answer.status, answer.body.error?.details]).toEqual([param, 400, { param }]);
    }
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });

  it('is refused without a token, for another chat, for an agent that there is not, and where nothing runs', async () => {
    const rig = await startAgUi();
    const input = { threadId: 't', runId: 'r', messages: [user('p')] };
    await rig.h.call('POST', '/v1/sessions', 'ann', { sessionId: 't' });
    const refusal = async (path: string, as: string | undefined, body: object) => {
      const { status, body: answer } = await rig.h.call('POST', `/ag-ui/${path}`, as, body);
      return [status, answer.error?.code];
    };
    expect([
      await refusal('default', undefined, input),
      await refusal('default', 'eve', input),
      await refusal('no such agent', 'ann', input),
      await refusal('default/cancel', 'eve', { threadId: 't' }),
      await refusal('default/cancel', 'ann', { threadId: 't' }),
      await refusal('default/cancel', 'ann', { threadId: 't', runId: 'r' }),
      await refusal('default/nothing', 'ann', {}),
      await refusal('default', 'ann', { ...input, pad: 'x'.repeat(5_000_000) }),
    ]).toEqual([
      [401, 'unauthenticated'],
      [404, 'not-found'],
      [404, 'unknown-agent'],
      [404, 'not-found'],
      [409, 'no-active-run'],
      [409, 'no-active-run'],
      [404, 'no-such-route'],
      [413, 'too-large'],
    ]);
  });

  it('stores images as parts of the prompt', async () => {
    const rig = await startAgUi();
    const content = [
      { type: 'text', text: 'look' },
      { type: 'image', source: { type: 'url', value: 'https://example.org/a.png' } },
      { type: 'image', source: { type: 'data', value: 'AAAA', mimeType: 'image/png' } },
    ];
    const done = run(rig.agent([{ id: 'p', role: 'user', content } as Message]), 'r');
    await (await rig.work()).complete();
    await done;
    const { body } = await rig.h.call('GET', '/v1/sessions/t/messages', 'ann');
    expect((body['messages'] as { content: unknown }[])[0]?.content).toEqual([
      { type: 'text', text: 'look' },
      { type: 'image_url', image_url: { url: 'https://example.org/a.png' } },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
    ]);
  });
});
