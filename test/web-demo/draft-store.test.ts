// Typed text that was not sent, for each chat: kept, bounded, and removed with the chat.
import { describe, expect, it } from 'vitest';
import { DRAFT_CHARS_MAX, DRAFTS_MAX, DraftStore } from '../../web-demo/composer/draft-store.ts';

function storage(): Pick<Storage, 'getItem' | 'setItem'> {
  const kept = new Map<string, string>();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value) };
}

describe('drafts', () => {
  it('are kept for each chat, over a reload, until they are sent or their chat is removed', () => {
    const tab = storage();
    const drafts = new DraftStore(tab);
    drafts.save(undefined, 'new');
    drafts.save('a', 'to a');
    expect([new DraftStore(tab).of(), new DraftStore(tab).of('a'), drafts.of('b')]).toEqual(['new', 'to a', '']);
    drafts.save('a', '');
    expect(drafts.of('a')).toBe('');
    drafts.move(undefined, 'b');
    expect([drafts.of(), drafts.of('b')]).toEqual(['', 'new']);
  });

  it('have a bound in number and length, and the last changed ones stay', () => {
    const drafts = new DraftStore(storage());
    for (let i = 0; i <= DRAFTS_MAX; i += 1) drafts.save(`c${i}`, 'x'.repeat(DRAFT_CHARS_MAX + 1));
    expect(drafts.of('c0')).toBe('');
    expect(drafts.of('c1')).toHaveLength(DRAFT_CHARS_MAX);
    expect(drafts.of(`c${DRAFTS_MAX}`)).toHaveLength(DRAFT_CHARS_MAX);
  });
});
