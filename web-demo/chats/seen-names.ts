// What chats without a title were called while they were open, so that the list calls them the same afterwards. Only this page
// knows: to store a title in a chat of another client, the page would have to write to a chat that it only reads.

/** Chats whose names are kept. */
export const SEEN_NAMES_MAX = 200;

export class SeenNames {
  readonly #names = new Map<string, string>();

  see(chatId: string, name: string): void {
    this.#names.delete(chatId);
    this.#names.set(chatId, name);
    const [oldest] = this.#names.keys();
    if (this.#names.size > SEEN_NAMES_MAX && oldest !== undefined) this.#names.delete(oldest);
  }

  of(chatId: string): string | undefined {
    return this.#names.get(chatId);
  }
}
