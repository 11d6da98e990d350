// When the list of chats is read again: other tabs and devices change it, and no stream reports that. Soon after the reader did
// something, then more and more seldom, because most pages are open and nobody looks at them. Pure.

/** While an answer is written in a chat that is not open. */
export const LIST_BUSY_MS = 3_000;
/** Otherwise: after the reader did something, and at most. */
export const LIST_IDLE_MS_MIN = 5_000;
export const LIST_IDLE_MS_MAX = 40_000;
/** A list that was read so short a time ago is not read again because the reader looks at it. */
export const LIST_FRESH_MS = 2_000;

export class ListPace {
  #idleMs = LIST_IDLE_MS_MIN;
  #readAt = -Infinity;

  /** The reader came back to the page. @returns whether the list should be read now */
  lookedAt(now: number): boolean {
    this.#idleMs = LIST_IDLE_MS_MIN;
    return now - this.#readAt >= LIST_FRESH_MS;
  }

  /** The list was read. @returns when to read it again, in ms */
  wasRead(now: number, isBusyElsewhere: boolean): number {
    this.#readAt = now;
    if (isBusyElsewhere) return LIST_BUSY_MS;
    const wait = this.#idleMs;
    this.#idleMs = Math.min(2 * wait, LIST_IDLE_MS_MAX);
    return wait;
  }
}
