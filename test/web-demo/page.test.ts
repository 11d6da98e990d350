// The parts of the demo page that are not pixels: addresses, tokens, statuses, the event log, and what outlives a
// reload.
import { describe, expect, it } from 'vitest';
import type { ChatSnapshot, ClosedReason, ConnectionState, Message, Run } from '../../src/client/chat-client.ts';
import { chatFragment, parseAddress } from '../../web-demo/access/address.ts';
import { badgeText } from '../../web-demo/instruments/connection-badge.ts';
import { answersWithDemo, isDemoDefault } from '../../web-demo/composer/demo-model.ts';
import { EventLog } from '../../web-demo/instruments/event-log.ts';
import { actionsFor, isUnanswered } from '../../web-demo/conversation/message-actions.ts';
import { plainText, sentenceOf, statusOf } from '../../web-demo/conversation/message-status.ts';
import { endingOf, isGone } from '../../web-demo/shell/notice.ts';
import { tokenIn } from '../../web-demo/access/token-box.ts';
import { contentOf, textOf } from '../../web-demo/chats/message-content.ts';
import { sizeText } from '../../web-demo/dom/size-text.ts';
import { partsOfContent } from '../../src/client/state/parts-fold.ts';
import { UnsentStore } from '../../web-demo/chats/unsent-store.ts';

const answer: Message = { messageId: 'a', role: 'assistant', parts: [], runId: 'r', delivery: 'sent' };
const prompt: Message = { messageId: 'p', role: 'user', parts: [], runId: 'r', delivery: 'sent' };
const unstarted: Run = { runId: 'r', state: 'queued', promptId: 'p', attempt: 1, cancelling: false };
const run: Run = { ...unstarted, state: 'running', messageId: 'a' };

describe('the address', () => {
  it('carries a token once and a chat for good', () => {
    expect(parseAddress('#token=a.b.c&chat=x_1')).toEqual({ token: 'a.b.c', chatId: 'x_1' });
    expect(chatFragment('x_1')).toBe('#chat=x_1');
    expect(parseAddress(chatFragment('x_1'))).toEqual({ token: undefined, chatId: 'x_1' });
    expect(parseAddress('')).toEqual({ token: undefined, chatId: undefined });
  });

  it('ignores a chat id that is not valid', () => {
    expect(parseAddress('#chat=../etc').chatId).toBeUndefined();
    expect(parseAddress(`#chat=${'x'.repeat(129)}`).chatId).toBeUndefined();
  });
});

describe('a pasted token', () => {
  it('may be pasted alone, as a header or as the whole link', () => {
    expect(tokenIn(' a-_1.b.c\n')).toBe('a-_1.b.c');
    expect(tokenIn('Bearer a.b.c')).toBe('a.b.c');
    expect(tokenIn('http://127.0.0.1:8080/#token=a.b.c')).toBe('a.b.c');
    expect(tokenIn('hello')).toBeUndefined();
    expect(tokenIn('http://127.0.0.1:8080/#chat=x')).toBeUndefined();
  });
});

describe('the status of a message', () => {
  it('is the delivery of a prompt until it is sent, then its run until the answer begins', () => {
    expect(statusOf({ ...prompt, delivery: 'sending' }, undefined)).toBe('sending');
    expect(statusOf({ ...prompt, delivery: 'unsent' }, run)).toBe('unsent');
    expect(statusOf(prompt, unstarted)).toBe('queued');
    expect(statusOf(prompt, { ...unstarted, state: 'cancelled' })).toBe('cancelled');
    expect(statusOf(prompt, run)).toBe('sent');
    expect(statusOf(answer, run)).toBe('running');
    expect(statusOf(answer, { ...run, state: 'failed' })).toBe('failed');
  });

  it('is shown only when it is not the usual one', () => {
    expect(sentenceOf(answer, run)).toBeUndefined();
    expect(sentenceOf(answer, { ...run, attempt: 2 })).toContain('attempt 2');
    expect(sentenceOf(answer, { ...run, cancelling: true })).toBe('Stopping…');
    expect(
      sentenceOf(answer, { ...run, state: 'failed', error: { code: 'x', message: 'broke off', retryable: true } }),
    ).toBe('Failed: broke off');
    expect(sentenceOf(prompt, { ...unstarted, ahead: 2 })).toBe('Waiting, 2 before it');
    expect(sentenceOf(prompt, { ...unstarted, ahead: 2, paused: true })).toContain('paused');
    expect(sentenceOf(answer, { ...run, state: 'completed' })).toBeUndefined();
  });

  it('counts only text as text', () => {
    const parts: Message['parts'] = [
      { part: 0, kind: 'reasoning', start: 0, text: 'hm' },
      { part: 1, kind: 'text', start: 0, text: 'yes' },
    ];
    expect(plainText({ ...answer, parts })).toBe('yes');
  });
});

describe('the actions on a message', () => {
  const failed: Run = { ...run, state: 'failed' };
  const said: Message = { ...answer, parts: [{ part: 0, kind: 'text', start: 0, text: 'yes' }] };

  it('are those that its status allows', () => {
    expect(actionsFor({ ...prompt, delivery: 'sending' }, undefined)).toEqual([]);
    expect(actionsFor({ ...prompt, delivery: 'unsent' }, undefined)).toEqual(['resend', 'edit', 'discard']);
    expect(actionsFor(prompt, unstarted)).toEqual(['withdraw', 'edit']);
    expect(actionsFor(prompt, { ...unstarted, state: 'cancelled' })).toEqual(['ask-again', 'edit']);
    expect(actionsFor(prompt, run)).toEqual(['edit']);
    expect(actionsFor(said, run)).toEqual([]);
    expect(actionsFor(said, failed)).toEqual(['copy', 'regenerate']);
    expect(actionsFor(answer, failed)).toEqual(['regenerate']);
  });

  it('do not put anything but text into a text box', () => {
    expect(actionsFor({ ...prompt, parts: [{ part: 0, kind: 'attachment', content: {} }] }, run)).toEqual([]);
    expect(
      actionsFor({ ...prompt, delivery: 'unsent', parts: [{ part: 0, kind: 'attachment', content: {} }] }, undefined),
    ).toEqual(['resend', 'discard']);
  });

  it('change a prompt only when it never had an answer', () => {
    expect(isUnanswered(prompt, unstarted)).toBe(true);
    expect(
      isUnanswered({ ...prompt, answers: { place: 2, count: 2, previous: 'r0', next: undefined } }, unstarted),
    ).toBe(false);
    expect(isUnanswered(prompt, run)).toBe(false);
  });
});

describe('the end of a chat', () => {
  it('is explained in a sentence when the page has no other place for it', () => {
    const closed = (reason: ClosedReason): ConnectionState => ({ state: 'closed', reason, detail: 'so it says' });
    expect(endingOf(closed('removed'))).toContain('was deleted');
    expect(endingOf(closed('expired'))).toContain('has expired');
    expect(endingOf(closed('forbidden'))).toContain('does not open');
    expect(endingOf(closed('refused'))).toContain('so it says');
    for (const connection of [undefined, { state: 'live' } as const, closed('not-found'), closed('closed')])
      expect(endingOf(connection)).toBeUndefined();
    expect(
      (['removed', 'expired', 'not-found', 'refused'] as const).filter((reason) => isGone(closed(reason))),
    ).toEqual(['removed', 'expired']);
  });
});

describe('the badge', () => {
  it('shows the state of the connection, counting down', () => {
    expect(badgeText(undefined, 0)).toBe('New');
    expect(badgeText({ state: 'live' }, 0)).toBe('Live');
    expect(badgeText({ state: 'waiting', retryInMs: 3000 }, 2_100)).toBe('Again in 3 s');
    expect(badgeText({ state: 'waiting', retryInMs: 3000 }, 10)).toBe('Reconnecting');
    expect(badgeText({ state: 'closed', reason: 'removed', detail: '' }, 0)).toBe('Chat removed');
  });
});

describe('the event log', () => {
  const at = (connection: ConnectionState, offset: number, events: number): ChatSnapshot => ({
    sessionId: 'c',
    messages: [],
    runs: [],
    openInputs: [],
    connection,
    position: `e.${offset}`,
    counters: { events, duplicatesDropped: 0, resets: 0, rejoins: 0, resumes: 0 },
  });

  it('reports a loss and its repair, and nothing else', () => {
    const eventLog = new EventLog();
    const waiting: ConnectionState = { state: 'waiting', retryInMs: 1 };
    const told = [
      at({ state: 'connecting' }, 0, 0),
      at({ state: 'live' }, 9, 10),
      at({ state: 'live' }, 41, 42),
      at(waiting, 42, 43),
      at({ state: 'connecting' }, 42, 43),
      at(waiting, 42, 43),
      at({ state: 'catching-up' }, 50, 51),
      at({ state: 'live' }, 60, 61),
    ].map((snapshot) => eventLog.note(snapshot));
    expect(told.filter((sentence) => sentence !== undefined)).toEqual([
      'Connection lost after event 42',
      'Resumed after event 42, caught up on 18 events',
    ]);
  });
});

describe('the demo model', () => {
  it('answers when it is the agent for prompts that name none', () => {
    const agent = (isDefault: boolean, isDemo: boolean): object => ({ name: 'a', isDefault, isDemo });
    expect(isDemoDefault({ agents: [agent(false, false), agent(true, true)] })).toBe(true);
    for (const body of [
      { agents: [agent(true, false), agent(false, true)] },
      { agents: [] },
      { agents: [null] },
      { agents: 'demo' },
      {},
      null,
    ])
      expect(isDemoDefault(body)).toBe(false);
  });

  it('is not assumed when the server cannot say so', async () => {
    const answering = (status: number, body: string): Promise<boolean> =>
      answersWithDemo(() => Promise.resolve(new Response(body, { status })), 't');
    expect(await answering(404, '{}')).toBe(false);
    expect(await answering(200, 'hotel')).toBe(false);
    expect(await answersWithDemo(() => Promise.reject(new TypeError('no network')), 't')).toBe(false);
    expect(await answering(200, '{"agents":[{"isDefault":true,"isDemo":true}]}')).toBe(true);
  });
});

describe('text that was not acknowledged', () => {
  it('outlives a reload, chat by chat, with any other value in the storage', () => {
    const kept = new Map<string, string>();
    const storage = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    };
    const first = { chatId: 'a', messageId: 'm1', content: 'x' };
    new UnsentStore(storage).add(first);
    const branch = { chatId: 'b', messageId: 'm2', content: 'y', replaces: 'm0' };
    new UnsentStore(storage).add(branch);
    expect(new UnsentStore(storage).of('b')).toEqual([branch]);
    expect(new UnsentStore(storage).of('a')).toEqual([first]);
    const refused = { code: 'too-large', message: 'too much', retryable: false };
    new UnsentStore(storage).refuse('m1', refused);
    expect(new UnsentStore(storage).of('a')).toEqual([{ ...first, refused }]);
    new UnsentStore(storage).add(first);
    expect(new UnsentStore(storage).of('a')).toEqual([first]);
    new UnsentStore(storage).remove('m1');
    expect(new UnsentStore(storage).of('a')).toEqual([]);
    new UnsentStore(storage).removeChat('b');
    expect(new UnsentStore(storage).of('b')).toEqual([]);
    kept.set(
      'holdline.unsent',
      '[null, 7, {"chatId":"a"}, {"chatId":"a","messageId":"m","content":"c","refused":"no"}]',
    );
    expect(new UnsentStore(storage).of('a')).toEqual([]);
  });

  it('keeps the files of a message', () => {
    const kept = new Map<string, string>();
    const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: kept.set.bind(kept) };
    const file = { type: 'attachment', attachmentId: 'f', name: 'a.txt', mediaType: 'text/plain', bytes: 3 };
    const unsent = { chatId: 'a', messageId: 'm', content: [{ type: 'text', text: 'see' }, file] };
    new UnsentStore(storage).add(unsent);
    expect(new UnsentStore(storage).of('a')).toEqual([unsent]);
    const shown: Message = { ...prompt, parts: partsOfContent(unsent.content) };
    expect(contentOf(shown)).toEqual(unsent.content);
    expect(contentOf({ ...prompt, parts: partsOfContent('hello') })).toBe('hello');
  });

  it('is sent to another chat with its texts only', () => {
    expect(textOf('hello')).toBe('hello');
    const file = { type: 'attachment', attachmentId: 'f' };
    expect(textOf([{ type: 'text', text: 'see' }, file])).toBe('see');
    expect(textOf([file])).toBe('');
  });
});

describe('a number of bytes', () => {
  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1_000, '1 KB'],
    [12_400, '12 KB'],
    [999_499, '999 KB'],
    [999_500, '1.0 MB'],
    [9_940_000, '9.9 MB'],
    [32_000_000, '32 MB'],
    [1_500_000_000, '1.5 GB'],
  ])('%i is shown as %s', (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });
});
