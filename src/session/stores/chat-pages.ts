// The pages of a user's list of chats. The first page has the chats that were active last. The pages behind it have the
// other chats, newest first. The time at which a chat was made never changes, so no change of the list moves a chat
// across the edge of a page. By activity alone a chat that is written to between two pages would be on neither. Pure.
import { createHash } from 'node:crypto';

export interface ListedChat {
  readonly sessionId: string;
  /** ms since 1970. */
  readonly createdAt: number;
  readonly lastActiveAt: number;
}

/** The end of a page, at which the next one continues. */
export interface PageEnd {
  /** The marks of the chats on its first page. */
  readonly shown: ReadonlySet<string>;
  /** The last chat of the page before; undefined behind the first page. */
  readonly last: Pick<ListedChat, 'sessionId' | 'createdAt'> | undefined;
}

export interface ChatPage<C extends ListedChat> {
  readonly chats: readonly C[];
  /** Where the next page begins; undefined behind the last page. */
  readonly next: PageEnd | undefined;
}

export function pageOfChats<C extends ListedChat>(
  chats: readonly C[],
  limit: number,
  after: PageEnd | undefined,
): ChatPage<C> {
  if (after === undefined) {
    const first = chats.toSorted((a, b) => b.lastActiveAt - a.lastActiveAt).slice(0, limit);
    const next = chats.length > limit ? { shown: new Set(first.map(markOf)), last: undefined } : undefined;
    return { chats: first, next };
  }
  const { shown, last } = after;
  const found: C[] = [];
  // One chat more than the page holds shows whether there is a next page.
  for (const chat of chats.toSorted(newestFirst)) {
    if (found.length > limit) break;
    if ((last === undefined || newestFirst(last, chat) < 0) && !shown.has(markOf(chat))) found.push(chat);
  }
  const page = found.slice(0, limit);
  const end = page.at(-1);
  return { chats: page, next: found.length > limit && end !== undefined ? { shown, last: end } : undefined };
}

/** A page by age alone. `after`: the last chat of the page before; undefined for the first page, or where there is no
 *  such chat any more. */
export function pageByAge<C extends ListedChat>(
  chats: readonly C[],
  {
    limit,
    after,
    order,
  }: { readonly limit: number; readonly after: string | undefined; readonly order: 'asc' | 'desc' },
): { readonly chats: readonly C[]; readonly hasMore: boolean } {
  const sorted = chats.toSorted(order === 'desc' ? newestFirst : (a, b) => newestFirst(b, a));
  const from = after === undefined ? 0 : sorted.findIndex(({ sessionId }) => sessionId === after) + 1;
  return { chats: sorted.slice(from, from + limit), hasMore: sorted.length > from + limit };
}

/** For a URL: the marks, the time in base 36, the id. */
export function encodePageEnd({ shown, last }: PageEnd): string {
  return [[...shown].join(''), last?.createdAt.toString(36) ?? '', last?.sessionId ?? ''].join('.');
}

const MARK_CHARS = 8;
const PATTERN = /^((?:[A-Za-z0-9_-]{8}){1,100})\.(?:([0-9a-z]{1,10})\.([A-Za-z0-9_-]{1,128})|\.)$/;
/** The longest text that `encodePageEnd` makes of a first page of 100 chats. */
export const PAGE_END_CHARS_MAX = 100 * MARK_CHARS + 1 + 10 + 1 + 128;

/** Undefined where the text is no end of a page. */
export function parsePageEnd(text: string): PageEnd | undefined {
  const [, marks, createdAt, sessionId] = PATTERN.exec(text) ?? [];
  if (marks === undefined) return undefined;
  const shown = new Set(marks.match(/.{8}/g));
  return {
    shown,
    last:
      createdAt === undefined || sessionId === undefined
        ? undefined
        : { createdAt: Number.parseInt(createdAt, 36), sessionId },
  };
}

/** 48 bits of a digest: a hundred ids would be too long for a URL. */
function markOf({ sessionId }: ListedChat): string {
  return createHash('sha256').update(sessionId).digest('base64url').slice(0, MARK_CHARS);
}

function newestFirst(
  a: Pick<ListedChat, 'sessionId' | 'createdAt'>,
  b: Pick<ListedChat, 'sessionId' | 'createdAt'>,
): number {
  if (a.createdAt !== b.createdAt) return b.createdAt - a.createdAt;
  return a.sessionId < b.sessionId ? -1 : Number(a.sessionId > b.sessionId);
}
