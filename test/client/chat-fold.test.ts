// The fold, event by event: what each event changes in the shown chat.
import { describe, expect, it } from 'vitest';
import { foldEvent, foldQueue } from '../../src/client/state/chat-fold.ts';
import { EMPTY_CHAT } from '../../src/client/state/chat-state.ts';
import { parseChatEvent } from '../../src/client/protocol/wire-codec.ts';
import type { ChatState, Part } from '../../src/client/state/chat-state.ts';
import type { ChatEvent } from '../../src/client/protocol/wire-events.ts';

function fold(...events: ChatEvent[]): ChatState {
  return foldFrom(EMPTY_CHAT, ...events);
}

function foldFrom(state: ChatState, ...events: ChatEvent[]): ChatState {
  return events.reduce((before, event) => {
    const next = foldEvent(before, event);
    if (next === undefined) throw new Error(`${event.type} did not join`);
    return next;
  }, state);
}

const prompt = (id: string, content = 'hi'): ChatEvent => ({
  type: 'message.created',
  messageId: id,
  role: 'user',
  content,
});
const queued = (runId: string, messageId: string): ChatEvent => ({ type: 'run.queued', runId, messageId });
const started = (runId: string, messageId: string, attempt = 1): ChatEvent => ({
  type: 'run.started',
  runId,
  messageId,
  attempt,
});
const delta = (text: string, at: number, part = 0, kind: 'text' | 'reasoning' | 'tool-call' = 'text'): ChatEvent => ({
  type: 'delta',
  runId: 'r1',
  messageId: 'a1',
  part,
  kind,
  at,
  text,
});
const begun = fold(prompt('p1'), queued('r1', 'p1'), started('r1', 'a1'));
const textOf = (state: ChatState): string[] =>
  state.messages.flatMap((message) =>
    message.parts.map((part) =>
      part.kind === 'attachment' ? 'attachment' : `${part.kind} ${part.part}: ${part.text}`,
    ),
  );

const textOfParts = (parts: readonly Part[]): string =>
  parts.map((part) => (part.kind === 'attachment' ? '' : part.text)).join('');

describe('a turn', () => {
  it('shows the prompt, then the answer as it is written, and the state of its run', () => {
    const queuedRun = fold(prompt('p1'), queued('r1', 'p1'));
    expect(queuedRun.runs).toMatchObject([{ runId: 'r1', state: 'queued', promptId: 'p1' }]);
    expect(queuedRun.messages).toMatchObject([{ messageId: 'p1', runId: 'r1' }]);
    const half = foldFrom(begun, delta('Hel', 0), delta('lo', 3));
    expect(half.messages.map((message) => [message.messageId, message.role])).toEqual([
      ['p1', 'user'],
      ['a1', 'assistant'],
    ]);
    expect(textOf(half)).toEqual(['text 0: hi', 'text 0: Hello']);
    expect(half.runs).toMatchObject([{ state: 'running', messageId: 'a1', attempt: 1 }]);
    const done = foldFrom(half, { type: 'run.completed', runId: 'r1', finishReason: 'stop', usage: { output: 2 } });
    expect(done.runs).toMatchObject([{ state: 'completed', finishReason: 'stop', usage: { output: 2 } }]);
  });

  it('keeps the parts of an answer apart and in the order of their numbers', () => {
    const state = foldFrom(
      begun,
      { type: 'part.started', runId: 'r1', part: 0, kind: 'reasoning' },
      delta('hm', 0, 0, 'reasoning'),
      { type: 'part.started', runId: 'r1', part: 1, kind: 'tool-call', toolCallId: 'c1', toolName: 'search' },
      delta('{"q":1}', 0, 1, 'tool-call'),
      { type: 'tool.result', runId: 'r1', toolCallId: 'c1', result: { hits: 3 } },
      delta('ok', 0, 2),
    );
    expect(textOf(state).slice(1)).toEqual(['reasoning 0: hm', 'tool-call 1: {"q":1}', 'text 2: ok']);
    expect(state.messages[1]?.parts[1]).toMatchObject({ toolCallId: 'c1', toolName: 'search', result: { hits: 3 } });
  });

  it('puts each answer after its own prompt when several were queued', () => {
    const state = fold(
      prompt('p1'),
      queued('r1', 'p1'),
      prompt('p2'),
      queued('r2', 'p2'),
      prompt('p3'),
      queued('r3', 'p3'),
      started('r1', 'a1'),
      started('r2', 'a2'),
    );
    expect(state.messages.map((message) => message.messageId)).toEqual(['p1', 'a1', 'p2', 'a2', 'p3']);
  });

  it('distinguishes failed from cancelled, with the reason', () => {
    const failed = foldFrom(begun, {
      type: 'run.failed',
      runId: 'r1',
      error: { code: 'upstream', message: 'no', retryable: true },
    });
    expect(failed.runs[0]).toMatchObject({ state: 'failed', error: { code: 'upstream', retryable: true } });
    const cancelling = foldFrom(begun, { type: 'run.cancelling', runId: 'r1', by: 'user' });
    expect(cancelling.runs[0]).toMatchObject({ state: 'running', cancelling: true });
    const cancelled = foldFrom(cancelling, { type: 'run.cancelled', runId: 'r1', by: 'user' });
    expect(cancelled.runs[0]).toMatchObject({ state: 'cancelled', cancelling: false, cancelledBy: 'user' });
  });

  it('shows how many runs are before a queued one, until it starts', () => {
    const waiting = foldQueue(fold(prompt('p1'), queued('r1', 'p1')), 'r1', { ahead: 3, startsInSeconds: 20 });
    expect(waiting.runs[0]).toMatchObject({ ahead: 3, startsInSeconds: 20 });
    expect(foldQueue(waiting, 'r1', { ahead: 3, paused: true }).runs[0]).toMatchObject({ paused: true, ahead: 3 });
    const { ahead, startsInSeconds } = foldFrom(waiting, started('r1', 'a1')).runs[0] ?? {};
    expect([ahead, startsInSeconds]).toEqual([undefined, undefined]);
    expect(foldQueue(begun, 'r1', { ahead: 2 })).toBe(begun);
    expect(foldQueue(begun, 'other', { ahead: 2 })).toBe(begun);
  });

  it('shows prompts with content parts, and keeps parts other than text as they came', () => {
    const image = { type: 'image_url', image_url: { url: 'data:' } };
    const content = [{ type: 'text', text: 'look' }, image];
    const state = fold({ type: 'message.created', messageId: 'p', role: 'user', content });
    expect(state.messages[0]?.parts).toEqual([
      { part: 0, kind: 'text', start: 0, text: 'look' },
      { part: 1, kind: 'attachment', content: image },
    ]);
  });
});

describe('the joining rule', () => {
  it('refuses a delta that leaves a gap or overlaps', () => {
    const state = foldFrom(begun, delta('abc', 0));
    expect(foldEvent(state, delta('x', 4))).toBeUndefined();
    expect(foldEvent(state, delta('x', 2))).toBeUndefined();
    expect(foldEvent(state, delta('x', 1, 1))).toBeUndefined();
    expect(foldEvent(state, delta('x', 3))).toBeDefined();
  });

  it('counts in UTF-16 units', () => {
    expect(textOf(foldFrom(begun, delta('😀', 0), delta('!', 2)))[1]).toBe('text 0: 😀!');
    expect(foldEvent(foldFrom(begun, delta('😀', 0)), delta('!', 1))).toBeUndefined();
  });

  it('cuts back on a restart, and continues with the next attempt from there', () => {
    const first = foldFrom(begun, delta('Hello', 0), delta('x', 0, 1));
    const restarted = foldFrom(first, { type: 'run.restarted', runId: 'r1', attempt: 2, part: 0, at: 3 });
    expect(textOf(restarted)[1]).toBe('text 0: Hel');
    expect(restarted.messages[1]?.parts).toHaveLength(1);
    expect(restarted.runs[0]).toMatchObject({ state: 'running', attempt: 2 });
    expect(textOf(foldFrom(restarted, delta('p!', 3)))[1]).toBe('text 0: Help!');
  });

  it('replaces a part that was cut to nothing by a part of another kind', () => {
    const restarted = foldFrom(begun, delta('no', 0), {
      type: 'run.restarted',
      runId: 'r1',
      attempt: 2,
      part: 0,
      at: 0,
    });
    expect(restarted.messages[1]?.parts).toEqual([]);
    expect(textOf(foldFrom(restarted, delta('hm', 0, 0, 'reasoning')))[1]).toBe('reasoning 0: hm');
  });

  it('refuses a restart that keeps more than was received', () => {
    const state = foldFrom(begun, delta('abc', 0));
    expect(foldEvent(state, { type: 'run.restarted', runId: 'r1', attempt: 2, part: 0, at: 4 })).toBeUndefined();
    expect(foldEvent(state, { type: 'run.restarted', runId: 'r1', attempt: 2, part: 1, at: 1 })).toBeUndefined();
    expect(foldEvent(state, { type: 'run.restarted', runId: 'r1', attempt: 2, part: 1, at: 0 })).toBeDefined();
  });

  it('shows what is left of a run whose beginning was trimmed, and is strict about the rest', () => {
    const state = fold(delta('world', 6));
    expect(state.messages[0]).toMatchObject({ role: 'assistant', parts: [{ start: 6, text: 'world' }] });
    expect(foldEvent(state, delta('!', 10))).toBeUndefined();
    expect(foldEvent(state, delta('x', 3, 1))).toBeUndefined();
    expect(textOf(foldFrom(state, delta('!', 11)))).toEqual(['text 0: world!']);
  });

  it('treats announced and unannounced parts alike', () => {
    const announced = foldFrom(begun, { type: 'part.started', runId: 'r1', part: 0, kind: 'text' }, delta('a', 0));
    expect(announced).toEqual(foldFrom(begun, delta('a', 0)));
  });
});

describe('identity', () => {
  it('keeps every object that an event did not touch', () => {
    const two = foldFrom(begun, prompt('p2'));
    const after = foldFrom(two, delta('a', 0));
    expect(after.messages[0]).toBe(two.messages[0]);
    expect(after.messages[2]).toBe(two.messages[2]);
    expect(after.messages[1]).not.toBe(two.messages[1]);
    expect(after.runs).toBe(two.runs);
  });
});

describe('a lost part of the chat', () => {
  it('is named behind the message before it, and changes nothing else', () => {
    const before = fold(prompt('u1'), queued('r1', 'u1'), started('r1', 'a1'), delta('ab', 0));
    const state = foldFrom(before, { type: 'lost', from: 4, to: 9 });
    expect(state).toEqual({ ...before, lost: [{ from: 4, to: 9, after: 'a1' }] });
    expect(foldFrom(state, { type: 'lost', from: 20, to: 20 }).lost).toHaveLength(2);
  });

  it('is parsed from its event', () => {
    expect(parseChatEvent({ id: 'e.9', event: 'lost', data: { from: 4, to: 9 } })).toEqual({
      type: 'lost',
      from: 4,
      to: 9,
    });
    expect(parseChatEvent({ id: 'e.9', event: 'lost', data: { from: 4 } })).toBeUndefined();
  });

  it('has the id of the answer of a queued run where the server gives it', () => {
    const data = { runId: 'r', messageId: 'p', answerId: 'a' };
    expect(parseChatEvent({ id: 'e.1', event: 'run.queued', data })).toEqual({ type: 'run.queued', ...data });
    const old = { runId: 'r', messageId: 'p' };
    expect(parseChatEvent({ id: 'e.1', event: 'run.queued', data: old })).toEqual({ type: 'run.queued', ...old });
  });
});

describe('a given history', () => {
  const given = (messageId: string, role: string, more: object = {}): ChatEvent => ({
    type: 'history.given',
    messageId,
    role,
    content: 'x',
    ...more,
  });
  const call = { toolCallId: 'c', toolName: 'look', arguments: '{}' };

  it('is shown before the first prompt, with each result at its call', () => {
    const state = fold(
      given('h0', 'user'),
      given('h1', 'assistant', { content: '', toolCalls: [call] }),
      given('h2', 'tool', { toolCallId: 'c', content: 'found' }),
      prompt('u1'),
      queued('r1', 'u1'),
    );
    expect(state.messages).toMatchObject([
      { messageId: 'h0', role: 'user', isGiven: true, parts: [{ text: 'x' }] },
      { messageId: 'h1', parts: [{ kind: 'tool-call', toolName: 'look', text: '{}', result: 'found' }] },
      { messageId: 'u1', runId: 'r1' },
    ]);
    expect(foldFrom(state, given('h0', 'user'))).toEqual(state);
  });

  it('is on every branch', () => {
    const replacing = { ...prompt('u2'), replaces: 'u1' } as ChatEvent;
    const first = fold(given('h0', 'user'), prompt('u1'), queued('r1', 'u1'), started('r1', 'a1'));
    const state = foldFrom(foldFrom(first, replacing), queued('r2', 'u2'));
    expect(state.messages.map(({ messageId }) => messageId)).toEqual(['h0', 'u2']);
    expect(state.hidden.map(({ messageId }) => messageId)).toEqual(['u1', 'a1']);
    const back = foldFrom(state, { type: 'branch.selected', runId: 'r1' });
    expect(back.messages.map(({ messageId }) => messageId)).toEqual(['h0', 'u1', 'a1']);
  });

  it('does not keep back a prompt with the id of one of its messages, on any branch', () => {
    const one = fold(given('x', 'user'), prompt('x', 'mine'), queued('r1', 'x'), started('r1', 'a1'));
    const shown = ({ messages }: ChatState) =>
      messages.map(({ messageId, isGiven, parts }) => [messageId, isGiven === true, textOfParts(parts)]);
    const first = [
      ['x', true, 'x'],
      ['x', false, 'mine'],
      ['a1', false, ''],
    ];
    expect(shown(one)).toEqual(first);
    const edited = foldFrom(one, { type: 'message.edited', messageId: 'x', content: 'changed' });
    expect(shown(edited)[0]).toEqual(['x', true, 'x']);
    expect(shown(edited)[1]).toEqual(['x', false, 'changed']);
    const other = foldFrom(one, { ...prompt('u2'), replaces: 'x' } as ChatEvent, queued('r2', 'u2'));
    expect(shown(other)).toEqual([
      ['x', true, 'x'],
      ['u2', false, 'hi'],
    ]);
    expect(shown(foldFrom(other, { type: 'branch.selected', runId: 'r1' }))).toEqual(first);
  });

  it('is parsed from its event, and ignored without its fields', () => {
    const data = { messageId: 'h', role: 'tool', content: 'x', toolCallId: 'c', createdAt: 't' };
    const frame = { id: 'e.1', event: 'history.given', data };
    expect(parseChatEvent(frame)).toEqual({ type: 'history.given', ...data });
    expect(parseChatEvent({ ...frame, data: { ...data, toolCalls: [call, 7] } })).toMatchObject({ toolCalls: [call] });
    expect(parseChatEvent({ ...frame, data: { ...data, role: undefined } })).toBeUndefined();
  });
});

describe('a prompt with results', () => {
  it('has them, and no part where it has no content', () => {
    const data = { messageId: 'p', role: 'tool', content: '', toolResults: [{ toolCallId: 'c', result: 1 }, 7] };
    const event = parseChatEvent({ id: 'e.1', event: 'message.created', data });
    if (event === undefined) throw new Error('not parsed');
    const results = [{ toolCallId: 'c', result: 1 }];
    expect(fold(event).messages).toMatchObject([{ messageId: 'p', role: 'tool', parts: [], toolResults: results }]);
  });
});

describe('the end of a run', () => {
  it.each(['run.completed', 'run.failed', 'run.cancelled'])('has its usage: %s', (type) => {
    const data = { runId: 'r1', error: { code: 'c', message: 'm', retryable: false }, usage: { inputTokens: 1 } };
    const end = parseChatEvent({ id: 'e.9', event: type, data });
    if (end === undefined) throw new Error('not parsed');
    const state = fold(prompt('u1'), queued('r1', 'u1'), started('r1', 'a1'), end);
    expect(state.runs[0]).toMatchObject({ usage: { inputTokens: 1 } });
  });
});
