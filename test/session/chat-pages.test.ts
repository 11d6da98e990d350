// The pages of a list of chats that changes while a client reads it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodePageEnd,
  PAGE_END_CHARS_MAX,
  pageOfChats,
  parsePageEnd,
  type ListedChat,
  type PageEnd,
} from '../../src/session/stores/chat-pages.ts';

const chatsArbitrary = fc.uniqueArray(
  fc.record({
    sessionId: fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/),
    createdAt: fc.integer({ min: 0, max: 20 }),
    lastActiveAt: fc.integer({ min: 0, max: 40 }),
  }),
  {
    selector: (chat) => chat.sessionId,
    maxLength: 30,
  },
);
const changeArbitrary = fc.record({
  kind: fc.constantFrom('remove' as const, 'create' as const, 'use' as const),
  which: fc.nat(40),
  at: fc.integer({ min: 0, max: 60 }),
});

describe('pages of chats', () => {
  it('contain every chat that exists during the whole reading exactly once, when the list changes between pages', () => {
    fc.assert(
      fc.property(
        chatsArbitrary,
        fc.integer({ min: 1, max: 7 }),
        fc.array(fc.array(changeArbitrary, { maxLength: 6 }), { maxLength: 40 }),
        (start, limit, changes) => {
          const chats = new Map(start.map((chat) => [chat.sessionId, chat]));
          const removed = new Set<string>();
          const seen: string[] = [];
          let after: PageEnd | undefined;
          for (let page = 0; page === 0 || after !== undefined; page += 1) {
            const { chats: shown, next } = pageOfChats([...chats.values()], limit, after);
            expect(shown.length).toBeLessThanOrEqual(limit);
            if (next !== undefined) expect(shown).toHaveLength(limit);
            seen.push(...shown.map((chat) => chat.sessionId));
            // The cursor takes the way through the client: encoded and parsed again.
            after = next === undefined ? undefined : parsePageEnd(encodePageEnd(next));
            expect(after).toEqual(
              next === undefined || next.last === undefined
                ? next
                : { ...next, last: { sessionId: next.last.sessionId, createdAt: next.last.createdAt } },
            );
            for (const { kind, which, at } of changes[page] ?? []) {
              if (kind === 'create')
                chats.set(`new-${page}-${which}-${at}`, {
                  sessionId: `new-${page}-${which}-${at}`,
                  createdAt: at,
                  lastActiveAt: at,
                });
              const chat: ListedChat | undefined = [...chats.values()][which];
              if (chat === undefined || kind === 'create') continue;
              if (kind === 'use') chats.set(chat.sessionId, { ...chat, lastActiveAt: at });
              else if (chats.delete(chat.sessionId)) removed.add(chat.sessionId);
            }
          }
          expect(new Set(seen).size).toBe(seen.length);
          const stayed = start.map((chat) => chat.sessionId).filter((id) => !removed.has(id));
          expect(stayed.filter((id) => !seen.includes(id))).toEqual([]);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('begin with the chats that were active last', () => {
    const chats = [1, 2, 3, 4].map((i) => ({ sessionId: `c${i}`, createdAt: i, lastActiveAt: 10 - i }));
    const { chats: first, next } = pageOfChats(chats, 2, undefined);
    expect(first.map((chat) => chat.sessionId)).toEqual(['c1', 'c2']);
    expect(pageOfChats(chats, 2, next).chats.map((chat) => chat.sessionId)).toEqual(['c4', 'c3']);
    expect(pageOfChats(chats, 2, next).next).toBeUndefined();
  });

  it('have a cursor that fits a URL, and any other text is refused as a cursor', () => {
    const many = Array.from({ length: 201 }, (_, i) => ({
      sessionId: `${i}`.padEnd(128, 'x'),
      createdAt: Date.UTC(2200, 1),
      lastActiveAt: i,
    }));
    const { next } = pageOfChats(many, 100, undefined);
    const longest = encodePageEnd(pageOfChats(many, 100, next).next ?? { shown: new Set(), last: undefined });
    expect(longest.length).toBeLessThanOrEqual(PAGE_END_CHARS_MAX);
    expect(parsePageEnd(longest)).toBeDefined();
    for (const text of [
      '',
      '.',
      '..',
      'abcdefg..',
      'abcdefgh',
      'abcdefgh.',
      'abcdefgh.a',
      'abcdefgh.a.',
      'abcdefgh..a',
      'abcdefgh.a.b.c',
      'abcdefgh.A.b',
      'abcdefgh.a.ü',
      `${'abcdefgh'.repeat(101)}..`,
    ]) {
      expect([text, parsePageEnd(text)]).toEqual([text, undefined]);
    }
  });
});
