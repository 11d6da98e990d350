// Drafts of the text box, one for each chat, so that neither a reload nor a switch to another chat loses them. In the storage of
// the tab: another tab has a text box of its own.

const KEY = 'holdline.drafts';
/** The most recently changed drafts are kept, at most this many. */
export const DRAFTS_MAX = 20;
/** Characters of one draft that are kept. */
export const DRAFT_CHARS_MAX = 50_000;
/** The key of the draft of a new chat. */
const NEW_CHAT = '';

type Draft = readonly [chatId: string, text: string];

export class DraftStore {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem'>;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem'>) {
    this.#storage = storage;
  }

  /** @param chatId undefined: a new chat */
  of(chatId = NEW_CHAT): string {
    return this.#load().find(([id]) => id === chatId)?.[1] ?? '';
  }

  /** An empty text is no draft. */
  save(chatId = NEW_CHAT, text: string): void {
    const others = this.#load().filter(([id]) => id !== chatId);
    const drafts =
      text === '' ? others : [...others.slice(1 - DRAFTS_MAX), [chatId, text.slice(0, DRAFT_CHARS_MAX)] as const];
    try {
      this.#storage.setItem(KEY, JSON.stringify(drafts));
    } catch (error) {
      // A full storage keeps no draft; the text box still has it.
      if (!(error instanceof DOMException)) throw error;
    }
  }

  /** Moves the draft to the chat that is created for it. */
  move(from: string | undefined, to: string): void {
    const text = this.of(from);
    this.save(from, '');
    this.save(to, text);
  }

  #load(): readonly Draft[] {
    const stored: unknown = JSON.parse(this.#storage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isDraft) : [];
  }
}

/** Storage outlives versions of this page. */
function isDraft(value: unknown): value is Draft {
  return Array.isArray(value) && value.length === 2 && value.every((each) => typeof each === 'string');
}
