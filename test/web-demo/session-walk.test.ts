// The list of chats as far as it was read, while it changes.
import { describe, expect, it } from 'vitest';
import type { SessionPage } from '../../src/client/chat-client.ts';
import { SessionWalk } from '../../web-demo/chats/session-walk.ts';

const page = (ids: readonly string[], after?: string): SessionPage => ({
  sessions: ids.map((sessionId) => ({ sessionId, isActive: false, isWaiting: false })),
  more: after !== undefined,
  ...(after === undefined ? {} : { after }),
});

function walkOver(pages: Readonly<Record<string, SessionPage>>): {
  walk: SessionWalk;
  asked: string[];
  pages: Record<string, SessionPage>;
} {
  const asked: string[] = [];
  const current = { ...pages };
  const walk = new SessionWalk(async ({ after = '' }) => {
    asked.push(after);
    return current[after] ?? page([]);
  });
  return { walk, asked, pages: current };
}

const idsOf = (walk: SessionWalk): readonly string[] => walk.sessions.map(({ sessionId }) => sessionId);

describe('a walk through the list of chats', () => {
  it('reads another page for each call, until there is none', async () => {
    const { walk } = walkOver({ '': page(['a', 'b'], '1'), 1: page(['c'], '2'), 2: page(['d']) });
    await walk.refresh();
    expect([idsOf(walk), walk.more]).toEqual([['a', 'b'], true]);
    await walk.readMore();
    await walk.readMore();
    await walk.readMore();
    expect([idsOf(walk), walk.more]).toEqual([['a', 'b', 'c', 'd'], false]);
  });

  it('reads again as far as it had read, and drops removed chats', async () => {
    const { walk, asked, pages } = walkOver({ '': page(['a', 'b'], '1'), 1: page(['c'], '2'), 2: page(['d']) });
    await walk.refresh();
    await walk.readMore();
    Object.assign(pages, { '': page(['n', 'a'], '3'), 3: page(['c'], '2') });
    await walk.refresh();
    expect(idsOf(walk)).toEqual(['n', 'a', 'c']);
    expect(asked).toEqual(['', '1', '', '3']);
  });

  it('shows a chat once when it moved to the front while pages were read', async () => {
    const { walk } = walkOver({ '': page(['a', 'b'], '1'), 1: page(['b', 'c']) });
    await walk.refresh();
    await walk.readMore();
    expect(idsOf(walk)).toEqual(['a', 'b', 'c']);
  });

  it('reads one page at a time, and once for simultaneous calls', async () => {
    const { walk, asked } = walkOver({ '': page(['a'], '1'), 1: page(['b']) });
    await Promise.all([walk.refresh(), walk.refresh(), walk.readMore(), walk.refresh()]);
    expect(asked).toEqual(['', '1']);
    expect(idsOf(walk)).toEqual(['a', 'b']);
  });

  it('keeps its list when a page cannot be read, and passes the error to its caller', async () => {
    const { walk, pages } = walkOver({ '': page(['a'], '1') });
    await walk.refresh();
    Object.defineProperty(pages, '1', {
      get: () => {
        throw new Error('no network');
      },
    });
    await expect(walk.readMore()).rejects.toThrow('no network');
    expect([idsOf(walk), walk.more]).toEqual([['a'], true]);
    await walk.refresh();
  });

  it('drops a chat that was deleted', async () => {
    const { walk } = walkOver({ '': page(['a', 'b']) });
    await walk.refresh();
    walk.forget('a');
    expect(idsOf(walk)).toEqual(['b']);
  });
});
