// Reads the list of chats page by page, as far as the reader wants. One read at a time, so that the list shows one moment.
import type { SessionPage, SessionSummary } from '../../src/client/chat-client.ts';

const PAGE_LENGTH = 50;

export type ReadSessions = (query: { readonly limit: number; readonly after?: string }) => Promise<SessionPage>;

export class SessionWalk {
  readonly #read: ReadSessions;
  #pages: readonly SessionPage[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #isRefreshing: Promise<void> | undefined;

  constructor(read: ReadSessions) {
    this.#read = read;
  }

  get sessions(): readonly SessionSummary[] {
    const byId = new Map<string, SessionSummary>();
    // A chat that was used between the reads may be on two pages; the first one is newer.
    for (const session of this.#pages.flatMap((page) => page.sessions))
      if (!byId.has(session.sessionId)) byId.set(session.sessionId, session);
    return [...byId.values()];
  }

  has(chatId: string | undefined): boolean {
    return this.#pages.some(({ sessions }) => sessions.some(({ sessionId }) => sessionId === chatId));
  }

  /** Whether there are chats that were not read. */
  get more(): boolean {
    return this.#pages.at(-1)?.more === true;
  }

  /** Reads again as many pages as were read. Asked for while one waits for its turn, it is that one. @throws as `read` does */
  refresh(): Promise<void> {
    this.#isRefreshing ??= this.#inTurn(async () => {
      this.#isRefreshing = undefined;
      const count = Math.max(1, this.#pages.length);
      const pages: SessionPage[] = [];
      while (pages.length < count && pages.at(-1)?.more !== false) pages.push(await this.#next(pages.at(-1)));
      this.#pages = pages;
    });
    return this.#isRefreshing;
  }

  /** Reads one page more. @throws as `read` does */
  readMore(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.more) this.#pages = [...this.#pages, await this.#next(this.#pages.at(-1))];
    });
  }

  /** Removes a deleted chat, also from pages that were read before the deletion. */
  forget(sessionId: string): void {
    this.#pages = this.#pages.map((page) => ({
      ...page,
      sessions: page.sessions.filter((session) => session.sessionId !== sessionId),
    }));
  }

  #next(before: SessionPage | undefined): Promise<SessionPage> {
    return this.#read({ limit: PAGE_LENGTH, ...(before?.after === undefined ? {} : { after: before.after }) });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    // The caller of the previous step handles its failure.
    const result = this.#last.then(step, step);
    this.#last = result;
    return result;
  }
}
