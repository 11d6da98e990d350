// The name of a chat: its title, or its first prompt that the server accepted.
import { describe, expect, it } from 'vitest';
import type { ChatSnapshot, Message } from '../../src/client/chat-client.ts';
import { SHORT_TITLE_MAX, shortTitle } from '../../src/base/short-title.ts';
import { nameOf, NEW_CHAT, UNTITLED } from '../../web-demo/chats/chat-name.ts';

describe('a title from a prompt', () => {
  it('is the first line with text', () => {
    expect(shortTitle('\n  \n Where to go? \nsoon')).toBe('Where to go?');
    expect(shortTitle(' \n ')).toBeUndefined();
  });

  it('ends at the end of a word, with an ellipsis, when the line is too long', () => {
    const words = 'one two three four five six seven eight nine ten eleven twelve thirteen';
    expect(shortTitle(words)).toBe('one two three four five six seven eight nine ten eleven…');
    // A word that ends exactly at the limit is kept whole, and a line of the limit is not cut.
    const exact = `${'a'.repeat(SHORT_TITLE_MAX - 3)} bc`;
    expect(shortTitle(exact)).toBe(exact);
    expect(shortTitle(`${exact} def`)).toBe(`${exact}…`);
  });

  it('cuts a single long word, and never half of a character', () => {
    expect(shortTitle('x'.repeat(100))).toBe(`${'x'.repeat(SHORT_TITLE_MAX)}…`);
    expect(shortTitle(`x${'😀'.repeat(50)}`)).toBe(`x${'😀'.repeat(29)}…`);
  });
});

describe('the name of a chat', () => {
  const prompt = (text: string, delivery: Message['delivery']): Message => ({
    messageId: text,
    role: 'user',
    parts: [{ part: 0, kind: 'text', start: 0, text }],
    delivery,
  });
  const chat = (messages: readonly Message[], title?: string): ChatSnapshot => ({
    sessionId: 's',
    messages,
    runs: [],
    openInputs: [],
    connection: { state: 'live' },
    counters: { events: 0, duplicatesDropped: 0, resets: 0, rejoins: 0, resumes: 0 },
    position: 'e.1',
    ...(title === undefined ? {} : { title }),
  });

  it('is its title, otherwise its first accepted prompt', () => {
    expect(nameOf(chat([prompt('hello', 'sent')], 'Trip'), undefined, true)).toBe('Trip');
    expect(nameOf(chat([prompt('too long', 'unsent'), prompt('hello', 'sent')]), undefined, true)).toBe('hello');
    expect(nameOf(chat([prompt('hello', 'sent')], ''), undefined, true)).toBe('hello');
  });

  it('is the same without either, from the list and from the chat itself', () => {
    expect(nameOf(chat([prompt('too long', 'unsent')]), undefined, false)).toBe(UNTITLED);
    expect(nameOf(undefined, undefined, true)).toBe(UNTITLED);
    expect(nameOf(undefined, undefined, false)).toBe(NEW_CHAT);
  });
});
