// The AI SDK wire with the real package over real sockets: what a page of `useChat` sees.
import { lastAssistantMessageIsCompleteWithToolCalls as isAnswered, type UIMessage } from 'ai';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../process/seeded-random.ts';
import { startHarness } from '../../support/gateway-harness.ts';
import { eventually } from '../../support/wait-for.ts';
import { openPage, takeRun, textOf, type PageOptions } from './page.ts';

async function start() {
  const h = await startHarness();
  const address = await h.listen();
  return { h, page: (options: PageOptions) => openPage(h, address, options), address };
}

const WORDS = ['Hello ', 'Wörld 🌍, ', 'this is ', 'an answer.'];
const WHOLE = WORDS.join('');

function partsOf(message: UIMessage | undefined): unknown[] {
  return (message?.parts ?? []).map((part) => JSON.parse(JSON.stringify(part)) as unknown);
}

describe('a page with useChat', () => {
  it('shows an answer as it streams, and a second turn', async () => {
    const { h, page } = await start();
    const { chat, text, responses } = page({ id: 'c1' });
    for (const turn of [1, 2]) {
      const sent = chat.sendMessage({ text: `prompt ${turn}` });
      const run = await takeRun(h, 'c1');
      expect(chat.status).toBe('submitted');
      await run.say('Hello ');
      await eventually(() => text() === 'Hello ');
      expect(chat.status).toBe('streaming');
      await run.say(`number ${turn}`);
      await run.complete();
      await sent;
      expect([chat.status, text(), chat.messages.length]).toEqual(['ready', `Hello number ${turn}`, 2 * turn]);
      expect(chat.lastMessage?.id).toBe(run.run.answerId);
      expect(responses.at(-1)?.headers.get('x-run-id')).toBe(run.run.runId);
    }
    expect(responses[0]?.headers.get('x-vercel-ai-ui-message-stream')).toBe('v1');
    expect(responses[0]?.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(responses[0]?.headers.get('cache-control')).toBe('no-cache, no-transform');
    const { body } = await h.call('GET', '/v1/sessions/c1/messages', 'ann');
    expect((body['messages'] as { content: string }[]).map(({ content }) => content)).toEqual([
      ...['prompt 1', 'Hello number 1', 'prompt 2', 'Hello number 2'],
    ]);
  });

  it('shows reasoning and tool calls, and the page of history has the same parts', async () => {
    const { h, page, address } = await start();
    let calls = 0;
    const { chat } = page({ id: 'c1', onToolCall: () => void (calls += 1), sendAutomaticallyWhen: isAnswered });
    const sent = chat.sendMessage({ text: 'look' });
    const run = await takeRun(h, 'c1');
    const { runId, answerId: messageId } = run.run;
    await run.sayIn(0, 'reasoning', 'I ', 'think');
    const call = { runId, kind: 'tool-call', toolName: 'look' } as const;
    const delta = { type: 'delta', runId, messageId, kind: 'tool-call' } as const;
    await run.add(
      { type: 'part.started', part: 1, toolCallId: 'c1', ...call },
      { type: 'part.started', part: 2, toolCallId: 'c2', ...call },
      { ...delta, part: 1, at: 0, text: '{"a":' },
      { ...delta, part: 2, at: 0, text: '{"b":' },
      { ...delta, part: 1, at: 5, text: '1}' },
      { ...delta, part: 2, at: 5, text: '2}' },
      { type: 'tool.result', runId, toolCallId: 'c2', error: 'broken' },
      { type: 'tool.result', runId, toolCallId: 'c1', result: { found: true } },
      { type: 'part.started', runId, part: 3, kind: 'text' },
      { ...delta, kind: 'text', part: 3, at: 0, text: 'Found it.' },
    );
    await run.complete();
    await sent;
    const tool = { type: 'dynamic-tool', toolName: 'look', providerExecuted: true };
    const parts = [
      { type: 'step-start' },
      { type: 'reasoning', text: 'I think', state: 'done' },
      { ...tool, toolCallId: 'c1', state: 'output-available', input: { a: 1 }, output: { found: true } },
      { ...tool, toolCallId: 'c2', state: 'output-error', input: { b: 2 }, errorText: 'broken' },
      { type: 'step-start' },
      { type: 'text', text: 'Found it.', state: 'done' },
    ];
    expect(partsOf(chat.lastMessage)).toMatchObject(parts);
    expect([chat.status, calls, chat.messages.length]).toEqual(['ready', 0, 2]);
    const response = await fetch(`${address.url}/api/chat/c1/messages`, {
      headers: { authorization: h.bearer('ann') },
    });
    const messages = (await response.json()) as UIMessage[];
    expect(messages.map(({ id, role }) => [id, role])).toEqual(chat.messages.map(({ id, role }) => [id, role]));
    expect(messages[0]?.parts).toEqual([{ type: 'text', text: 'look' }]);
    expect(messages[1]?.parts).toEqual(parts);
  });

  it('runs a tool of the page once, and not again when it resumes an answered call', async () => {
    const { h, page } = await start();
    const calls: unknown[] = [];
    const onToolCall: PageOptions['onToolCall'] = ({ toolCall }) => void calls.push(toolCall.input);
    const { chat } = page({ id: 'c1', onToolCall });
    const sent = chat.sendMessage({ text: 'look' });
    const run = await takeRun(h, 'c1');
    const { runId, answerId: messageId } = run.run;
    await run.add(
      { type: 'part.started', runId, part: 0, kind: 'tool-call', toolCallId: 'c1', toolName: 'look' },
      { type: 'delta', runId, messageId, part: 0, kind: 'tool-call', at: 0, text: '{"a":1}' },
    );
    await run.complete();
    await sent;
    expect(calls).toEqual([{ a: 1 }]);
  });

  it('has exactly the answer when its connection is cut at any of twenty random places and it resumes', async () => {
    const { h, page } = await start();
    const random = seededRandom('pages');
    for (let place = 0; place < 20; place += 1) {
      const id = `c${place}`;
      const { chat, cutAfter, text } = page({ id });
      cutAfter(random.between(1, 740));
      const sent = chat.sendMessage({ text: 'go' });
      const run = await takeRun(h, id);
      await run.say(...WORDS.slice(0, 2));
      await Promise.race([sent, eventually(() => text() === WORDS.slice(0, 2).join(''))]);
      await run.say(...WORDS.slice(2));
      // Half of the pages come back while the run continues.
      if (place % 2 === 0) await run.complete();
      await Promise.race([sent, eventually(() => text() === WHOLE)]);
      const resumed = chat.status === 'error' ? chat.resumeStream() : sent;
      if (place % 2 === 1) await run.complete();
      await resumed;
      if (chat.status === 'error') await chat.resumeStream();
      expect([place, chat.status, text(), chat.messages.length]).toEqual([place, 'ready', WHOLE, 2]);
    }
  });

  it('shows the same answer to a second page that comes in the middle', async () => {
    const { h, page, address } = await start();
    const first = page({ id: 'c1' });
    const sent = first.chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ');
    await eventually(() => first.text() === 'Hello ');
    const loaded = await fetch(`${address.url}/api/chat/c1/messages`, { headers: { authorization: h.bearer('ann') } });
    const second = page({ id: 'c1', messages: (await loaded.json()) as UIMessage[] });
    const resumed = second.chat.resumeStream();
    await eventually(() => second.responses.length === 1 && second.text() === 'Hello ');
    await run.say('you.');
    await run.complete();
    await Promise.all([sent, resumed]);
    expect(second.chat.messages).toEqual(first.chat.messages);
    expect([second.text(), second.chat.messages.length]).toEqual(['Hello you.', 2]);
  });

  it('keeps what was said when the run is stopped, and another page sees the stop', async () => {
    const { h, page, address } = await start();
    const [first, second] = [page({ id: 'c1' }), page({ id: 'c1' })];
    const sent = first.chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ');
    const resumed = second.chat.resumeStream();
    await eventually(() => second.text() === 'Hello ' && first.text() === 'Hello ');
    const headers = { authorization: h.bearer('ann'), 'content-type': 'application/json' };
    const stopped = await fetch(`${address.url}/api/chat/c1/stop`, { method: 'POST', headers, body: '{}' });
    expect([stopped.status, await stopped.json()]).toEqual([202, { runId: run.run.runId }]);
    await run.cancelled('ann');
    await Promise.all([sent, resumed]);
    expect([first.chat.status, first.text(), second.chat.status, second.text()]).toEqual([
      ...['ready', 'Hello ', 'ready', 'Hello '],
    ]);
    const again = await fetch(`${address.url}/api/chat/c1/stop`, { method: 'POST', headers, body: '{}' });
    expect([again.status, again.headers.get('x-holdline-code')]).toEqual([409, 'no-active-run']);
  });

  it('leaves the run alone when the page aborts its request', async () => {
    const { h, page } = await start();
    const { chat, text } = page({ id: 'c1' });
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ');
    await eventually(() => text() === 'Hello ');
    await chat.stop();
    await sent;
    await run.say('you.');
    const resumed = chat.resumeStream();
    await run.complete();
    await resumed;
    expect([chat.status, text(), chat.messages.length]).toEqual(['ready', 'Hello you.', 2]);
  });

  it('replays an answer that ended less than a minute ago, and none that it holds or that is older', async () => {
    const { h, page } = await start();
    const first = page({ id: 'c1' });
    const sent = first.chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say(...WORDS);
    await run.complete();
    await sent;
    const status = async (resumeQuery = ''): Promise<unknown> => {
      const late = page({ id: 'c1', resumeQuery });
      await late.chat.resumeStream();
      return [late.responses[0]?.status, late.text()];
    };
    expect(await status()).toEqual([200, WHOLE]);
    expect(await status('?have=other')).toEqual([200, WHOLE]);
    expect(await status(`?have=${run.run.answerId}`)).toEqual([204, '']);
    await h.clock.advance(61_000);
    expect(await status()).toEqual([204, '']);
  });

  it('shows the failure of a run as its error', async () => {
    const { h, page } = await start();
    const { chat, text } = page({ id: 'c1' });
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ');
    await run.fail({ code: 'model-failed', message: 'the model has failed', retryable: true });
    await sent;
    expect([chat.status, chat.error?.message, text()]).toEqual([
      'error',
      'the model has failed (model-failed)',
      'Hello ',
    ]);
  });

  it('does not notice a takeover that says the same again, and shows the other text after one that does not', async () => {
    const { h, page } = await start();
    const { chat, text } = page({ id: 'c1' });
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('one two');
    await eventually(() => text() === 'one two');
    await run.dropFrom(0, { takesOver: true });
    await run.say('one ', 'two three');
    await eventually(() => text() === 'one two three');
    await run.dropFrom(4, { takesOver: true });
    await run.say('four');
    await sent;
    expect(chat.status).toBe('error');
    const resumed = chat.resumeStream();
    await run.complete();
    await resumed;
    expect([chat.status, text(), chat.messages.length]).toEqual(['ready', 'one four', 2]);
  });

  it('notices that its node shuts down in the middle of an answer', async () => {
    const { h, page } = await start();
    const { chat, text } = page({ id: 'c1' });
    const sent = chat.sendMessage({ text: 'go' });
    await (await takeRun(h, 'c1')).say('Hello ');
    await eventually(() => text() === 'Hello ');
    const drained = h.gateway.drain({ windowMs: 10, deadlineMs: 100 });
    await h.clock.advance(100);
    await drained;
    await sent;
    expect(chat.status).toBe('error');
  });

  it('shows the refusal of a wrong token as its error', async () => {
    const { page } = await start();
    const { chat, responses } = page({ id: 'c1', as: 'Bearer wrong' });
    await chat.sendMessage({ text: 'go' });
    expect([chat.status, chat.error?.message]).toEqual(['error', 'the token is not valid: it is not a signed JWT']);
    expect([responses[0]?.status, responses[0]?.headers.get('x-holdline-code')]).toEqual([401, 'unauthenticated']);
  });

  it.each([
    ['all messages', false],
    ['its last message', true],
  ])('gets another answer when it regenerates, and edits its prompt, when it sends %s', async (_what, sendsLast) => {
    const { h, page } = await start();
    const { chat, text } = page({ id: 'c1', sendsLast });
    const answer = async (asked: Promise<void>, said: string): Promise<void> => {
      const run = await takeRun(h, 'c1');
      await run.say(said);
      await run.complete();
      await asked;
      expect([chat.status, text(), chat.messages.length]).toEqual(['ready', said, 2]);
    };
    await answer(chat.sendMessage({ text: 'first' }), 'one');
    await answer(chat.regenerate(), 'two');
    const messageId = chat.messages[0]?.id ?? '';
    await answer(chat.sendMessage({ text: 'second', messageId }), 'three');
    await answer(chat.regenerate(), 'four');
    const { body } = await h.call('GET', '/v1/sessions/c1/messages', 'ann');
    expect((body['messages'] as { content: string }[]).map(({ content }) => content)).toEqual(['second', 'four']);
  });

  it('finds its run when it sends the same message again', async () => {
    const { h, page } = await start();
    const messages: UIMessage[] = [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'go' }] }];
    const [first, second] = [page({ id: 'c1', messages }), page({ id: 'c1', messages })];
    // Without a message the chat sends those that it has.
    const both = [first.chat.sendMessage(), second.chat.sendMessage()];
    const run = await takeRun(h, 'c1');
    await run.say('once');
    await run.complete();
    await Promise.all(both);
    expect([first.text(), second.text(), first.chat.lastMessage?.id]).toEqual([
      'once',
      'once',
      second.chat.lastMessage?.id,
    ]);
  });

  it('does not wait behind an answer that the user gave up, unless its body says so', async () => {
    const { h, page } = await start();
    const first = page({ id: 'c1' });
    const given = first.chat.sendMessage({ text: 'one' });
    const run = await takeRun(h, 'c1');
    await run.say('a');
    await eventually(() => first.text() === 'a');
    const queued = page({ id: 'c1', body: { onBusy: 'queue' } });
    const waits = queued.chat.sendMessage({ text: 'two' });
    await eventually(() => queued.responses.length === 1);
    const next = page({ id: 'c1' });
    const sent = next.chat.sendMessage({ text: 'three' });
    await waits;
    await run.cancelled('ann');
    await given;
    const last = await takeRun(h, 'c1');
    await last.say('third');
    await last.complete();
    await sent;
    expect([first.text(), queued.text(), next.text()]).toEqual(['a', '', 'third']);
  });

  it('gets the frames of the protocol, a heartbeat first and [DONE] last', async () => {
    const { h, address } = await start();
    const { chat, responses } = openPage(h, address, { id: 'c1' });
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('a');
    await run.complete();
    await sent;
    expect(responses[0]?.status).toBe(200);
    const replay = await fetch(`${address.url}/api/chat/c1/stream`, { headers: { authorization: h.bearer('ann') } });
    const lines = (await replay.text()).split('\n\n');
    expect([lines[0], lines.at(-2), lines.at(-1)]).toEqual([': hb', 'data: [DONE]', '']);
    expect(lines.slice(1, -2).map((line) => (JSON.parse(line.slice(6)) as { type: string }).type)).toEqual([
      ...['start', 'start-step', 'text-start', 'text-delta', 'text-end', 'finish-step', 'finish'],
    ]);
  });

  it('gets data and metadata when it asks for them', async () => {
    const { h, page } = await start();
    const data: unknown[] = [];
    const { chat } = page({ id: 'c1', query: '?data=1&metadata=1', onData: (part) => void data.push(part.data) });
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('a');
    await run.complete();
    await sent;
    const { runId } = run.run;
    expect(data[0]).toEqual({ runId, state: 'queued' });
    expect(data.slice(-2)).toEqual([
      { runId, state: 'running' },
      { inputTokens: 1, outputTokens: 1 },
    ]);
    expect(chat.lastMessage?.metadata).toMatchObject({ runId, agent: 'default', usage: { inputTokens: 1 } });
    expect(textOf(chat.lastMessage)).toBe('a');
  });
});
