// Runs that wait for a human, in the client: against the real gateway, over both wires, and event by event.
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { ChatClientError, createChatClient } from '../../src/client/chat-client.ts';
import type { Chat, ChatClient, ChatSnapshot, Fetch, Input, Transport } from '../../src/client/chat-client.ts';
import { foldEvent } from '../../src/client/state/chat-fold.ts';
import { EMPTY_CHAT } from '../../src/client/state/chat-state.ts';
import type { ChatState } from '../../src/client/state/chat-state.ts';
import { reuseState } from '../../src/client/state/state-reuse.ts';
import { parseChatEvent } from '../../src/client/protocol/wire-codec.ts';
import type { ChatEvent } from '../../src/client/protocol/wire-events.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { ALICE, PROMPT, WaitNode } from '../support/waiting-run.ts';
import { ManualEnvironment } from './manual-environment.ts';
import { HURRY_MS, isLive, shows } from './open-client.ts';

const APPROVAL = { key: 'a', kind: 'approval', toolCallId: 'c1', toolName: 'pay', message: 'Pay 20 €?' } as const;
const COLOUR = { key: 'q', kind: 'question', message: 'Which colour?', choices: ['red', 'blue'] } as const;
const LOOK_UP = { key: 't', kind: 'tool', toolCallId: 'c2', toolName: 'look_up' } as const;
const REF = { tenant: 'default', sessionId: 'chat' };

interface System {
  readonly h: Harness;
  readonly node: WaitNode;
  /** A client of another device of alice. */
  readonly client: (fetchOnce?: Fetch) => ChatClient;
}

async function start(transport: Transport): Promise<System> {
  const h = await startHarness();
  const { url } = await h.listen();
  return {
    h,
    node: new WaitNode(h.broker, h.clock),
    client: (fetchOnce = (input, init) => fetch(input, init)) => {
      const environment = new ManualEnvironment(HURRY_MS);
      const token = h.token('alice');
      const client = createChatClient({ baseUrl: url, token, transport, WebSocket, environment, fetch: fetchOnce });
      onTestFinished(() => client.close());
      return client;
    },
  };
}

const runOf = ({ runs }: ChatSnapshot) => runs.at(-1);
const inputsOf = ({ messages }: ChatSnapshot): readonly Input[] => messages.at(-1)?.inputs ?? [];
const isWaitingFor =
  (count: number) =>
  ({ openInputs }: ChatSnapshot): boolean =>
    openInputs.length === count;

async function openIn(client: ChatClient): Promise<Chat> {
  const chat = client.chat('chat');
  await shows(chat, isLive);
  return chat;
}

describe.each<Transport>(['websocket', 'sse'])('over %s, a run that waits', (transport) => {
  it('shows what it asks, is answered once, and goes on, on every device', async () => {
    const { node, client } = await start(transport);
    const first = await node.begin(REF);
    const [here, there] = [await openIn(client()), await openIn(client())];
    await first.say(0, 0, 'May I?');
    await first.ask({ inputs: [APPROVAL, COLOUR] });
    const asked = await shows(here, isWaitingFor(2));
    expect(runOf(asked)).toMatchObject({ state: 'waiting' });
    expect(asked.activeRun).toBe(runOf(asked));
    const { kind, toolCallId, toolName, message } = APPROVAL;
    const approval = { kind, toolCallId, toolName, message };
    expect(asked.openInputs[0]).toMatchObject({ ...approval, runId: first.run.runId, state: 'open', leg: 0 });
    expect(asked.openInputs).toEqual(inputsOf(asked));
    expect((await client().inputs('chat')).map(({ inputId }) => inputId)).toEqual(
      asked.openInputs.map(({ inputId }) => inputId),
    );
    expect((await client().sessions()).sessions).toMatchObject([{ isActive: true, isWaiting: true }]);
    const [payId = '', colourId = ''] = asked.openInputs.map(({ inputId }) => inputId);

    expect(await here.answer(payId, { approved: false, reason: 'too dear' })).toEqual({
      runId: first.run.runId,
      open: 1,
    });
    const seen = await shows(there, isWaitingFor(1));
    expect(inputsOf(seen)[0]).toMatchObject({
      state: 'answered',
      answer: { approved: false, reason: 'too dear' },
      answeredBy: 'alice',
      answeredAt: expect.any(String) as string,
    });
    expect(runOf(seen)).toMatchObject({ state: 'waiting' });
    expect(await there.answer(colourId, { value: 'red' })).toMatchObject({ open: 0 });
    expect(runOf(await shows(here, isWaitingFor(0)))).toMatchObject({ state: 'queued' });

    const second = await node.take(REF, first.run.runId);
    await second.say(1, 0, 'Then not.');
    const resumed = await shows(here, ({ messages }) => messages.at(-1)?.parts.length === 2);
    expect(runOf(resumed)).toMatchObject({ state: 'running', leg: 1, attempt: 2 });
    expect(resumed.messages.at(-1)?.parts).toMatchObject([{ text: 'May I?' }, { text: 'Then not.' }]);
    await second.ask({ inputs: [LOOK_UP] });
    expect(await shows(here, isWaitingFor(1))).toMatchObject({ openInputs: [{ kind: 'tool', leg: 1 }] });
  });

  it('is shown by a client that comes in the middle of the wait, and after the end', async () => {
    const { node, client } = await start(transport);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL] });
    const late = await openIn(client());
    const [input] = (await shows(late, isWaitingFor(1))).openInputs;
    await late.answer(input?.inputId ?? '', { approved: true });
    const second = await node.take(REF, run.run.runId);
    await second.say(0, 0, 'Paid.');
    await second.complete();
    const after = await shows(await openIn(client()), (snapshot) => runOf(snapshot)?.state === 'completed');
    expect(inputsOf(after)).toMatchObject([{ state: 'answered', answer: { approved: true } }]);
    expect(after.openInputs).toEqual([]);
    expect(after).not.toHaveProperty('activeRun');
  });

  it('gives the same receipt to an answer whose reply was lost, and names who answered first to another', async () => {
    const { node, client } = await start(transport);
    let lost = 0;
    const losing: Fetch = async (url, init) => {
      const answer = await fetch(url, init);
      if (init.method !== 'POST' || lost === 2) return answer;
      lost += 1;
      throw new TypeError('the reply is lost');
    };
    const run = await node.begin(REF);
    const chat = await openIn(client(losing));
    await run.ask({ inputs: [COLOUR] });
    const [input] = (await shows(chat, isWaitingFor(1))).openInputs;
    const inputId = input?.inputId ?? '';
    await expect(chat.answer(inputId, { value: 'green' })).rejects.toMatchObject({ code: 'invalid-answer' });
    lost = 0;
    expect(await chat.answer(inputId, { value: 'blue' })).toEqual({ runId: run.run.runId, open: 0 });
    expect(lost).toBe(2);
    const other = await chat.answer(inputId, { value: 'red' }).catch((error: unknown) => error);
    expect(other).toBeInstanceOf(ChatClientError);
    expect(other).toMatchObject({
      code: 'already-answered',
      retryable: false,
      details: { by: 'alice', createdAt: expect.any(String) as string },
    });
    await expect(chat.answer('none', { value: 'red' })).rejects.toMatchObject({ code: 'input-not-found' });
  });

  it('ends at once with a stop, and its inputs are closed', async () => {
    const { node, client } = await start(transport);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL] });
    const chat = await openIn(client());
    const [input] = (await shows(chat, isWaitingFor(1))).openInputs;
    expect(await chat.stop()).toBe(run.run.runId);
    const stopped = await shows(chat, (snapshot) => runOf(snapshot)?.state === 'cancelled');
    expect(inputsOf(stopped)).toMatchObject([{ state: 'closed', closedReason: 'cancelled' }]);
    await expect(chat.answer(input?.inputId ?? '', { approved: true })).rejects.toMatchObject({ code: 'not-waiting' });
  });

  it('stays with its branch', async () => {
    const { node, client } = await start(transport);
    const first = await node.begin(REF);
    const chat = await openIn(client());
    await first.say(0, 0, 'Done.');
    await first.complete();
    const before = await shows(chat, (snapshot) => runOf(snapshot)?.state === 'completed');
    const replaces = before.messages[0]?.messageId ?? '';
    const { runId } = await node.runs.send(ALICE, REF, { ...PROMPT, content: 'another', replaces });
    await (await node.take(REF, runId)).ask({ inputs: [APPROVAL] });
    await shows(chat, isWaitingFor(1));
    await chat.select(first.run.runId);
    const back = await shows(chat, ({ messages }) => messages[0]?.messageId === replaces);
    expect(back.openInputs).toEqual([]);
    expect(back.activeRun).toMatchObject({ runId, state: 'waiting' });
    await chat.select(runId);
    expect(await shows(chat, isWaitingFor(1))).toMatchObject({ messages: [{}, { inputs: [{ state: 'open' }] }] });
  });
});

function fold(state: ChatState, ...events: readonly (readonly [event: string, data: object])[]): ChatState {
  return events.reduce((before, [event, data]) => {
    const parsed = parseChatEvent({ id: 'e.1', event, data: { runId: 'r1', ...data } });
    if (parsed === undefined) throw new Error(`${event} was not parsed`);
    const next = foldEvent(before, parsed);
    if (next === undefined) throw new Error(`${event} did not join`);
    return next;
  }, state);
}

const begun = fold(
  EMPTY_CHAT,
  ['message.created', { messageId: 'p1', role: 'user', content: 'hi' }],
  ['run.queued', { messageId: 'p1' }],
  ['run.started', { messageId: 'a1', attempt: 1 }],
  ['part.started', { part: 0, kind: 'tool-call', toolCallId: 'c2', toolName: 'look_up', executor: 'client' }],
);
const asked = fold(
  begun,
  ['input.requested', { inputId: 'i1', kind: 'tool', toolCallId: 'c2' }],
  ['input.requested', { inputId: 'i2', kind: 'approval', toolCallId: 'c2' }],
  ['run.waiting', { inputs: ['i1', 'i2'] }],
);
const inputsIn = ({ messages }: ChatState): readonly Input[] => messages.at(-1)?.inputs ?? [];

describe('the fold of a wait', () => {
  it('puts the result of a call that a reader executed at the call', () => {
    const done = fold(asked, ['input.answered', { inputId: 'i1', result: { found: 1 }, by: 'bob' }]);
    expect(done.messages.at(-1)?.parts).toMatchObject([{ toolCallId: 'c2', result: { found: 1 } }]);
    const declined = fold(asked, ['input.answered', { inputId: 'i1', error: 'no' }]);
    expect(declined.messages.at(-1)?.parts).toMatchObject([{ error: 'no' }]);
    const approved = fold(asked, ['input.answered', { inputId: 'i2', approved: true }]);
    expect(approved.messages.at(-1)?.parts).toEqual(asked.messages.at(-1)?.parts);
  });

  it('is queued when nothing is open, also where inputs expire', () => {
    const one = fold(asked, ['input.closed', { inputId: 'i1', reason: 'expired' }]);
    expect(one.runs[0]?.state).toBe('waiting');
    const none = fold(one, ['input.closed', { inputId: 'i2', reason: 'expired' }]);
    expect(none.runs[0]?.state).toBe('queued');
    expect(inputsIn(none)).toMatchObject([{ closedReason: 'expired' }, { closedReason: 'expired' }]);
  });

  it('keeps the first answer, and an input that is asked for again', () => {
    const first = fold(asked, ['input.answered', { inputId: 'i2', approved: true }]);
    const again = fold(
      first,
      ['input.answered', { inputId: 'i2', approved: false }],
      ['input.closed', { inputId: 'i2', reason: 'expired' }],
      ['input.requested', { inputId: 'i2', kind: 'approval' }],
    );
    expect(inputsIn(again)).toEqual(inputsIn(first));
  });

  it('leaves nothing open at the end of a run', () => {
    const failed = fold(asked, ['run.failed', { error: { code: 'input-expired' } }]);
    expect(inputsIn(failed).map(({ state }) => state)).toEqual(['closed', 'closed']);
  });

  it('keeps the objects of what did not change', () => {
    const one = fold(asked, ['input.answered', { inputId: 'i2', approved: true }]);
    expect(one.messages[0]).toBe(asked.messages[0]);
    expect(inputsIn(one)[0]).toBe(inputsIn(asked)[0]);
    expect(one.messages.at(-1)?.parts[0]).toBe(asked.messages.at(-1)?.parts[0]);
    const copy = structuredClone(one);
    expect(reuseState(one, copy).messages).toBe(one.messages);
    const changed = fold(copy, ['input.answered', { inputId: 'i1', error: 'no' }]);
    const reused = reuseState(one, changed);
    expect(inputsIn(reused)[1]).toBe(inputsIn(one)[1]);
    expect(inputsIn(reused)[0]).toBe(inputsIn(changed)[0]);
  });

  it.each<[string, object]>([
    ['input.requested', { inputId: 'i' }],
    ['input.requested', { inputId: 'i', kind: 'riddle' }],
    ['input.answered', { approved: true }],
    ['input.closed', { reason: 'expired' }],
    ['run.resumed', { messageId: 'a1' }],
    ['run.resumed', { leg: 1 }],
  ])('ignores %s without its fields: %j', (event, data) => {
    expect(parseChatEvent({ id: 'e.1', event, data: { runId: 'r1', ...data } })).toBeUndefined();
  });

  it('reads what is optional only in its type', () => {
    const data = { inputId: 'i', kind: 'question', schema: 7, choices: ['a', 7], message: 1, expiresAt: 't' };
    const event = parseChatEvent({ id: 'e.1', event: 'input.requested', data: { runId: 'r1', ...data } });
    expect(event).toEqual({
      type: 'input.requested',
      runId: 'r1',
      inputId: 'i',
      request: { runId: 'r1', inputId: 'i', kind: 'question', choices: ['a'], expiresAt: 't' },
    } satisfies ChatEvent);
  });
});
