// What was typed into the text box and not sent, one draft for each chat, so that neither a reload nor a look at another chat loses
// it. For one tab: another one has a text box of its own.

const KEY = 'holdline.drafts';
/** Drafts that are kept; those that were changed last. */
export const DRAFTS_MAX = 20;
/** Characters of one draft that are kept. */
export const DRAFT_CHARS_MAX = 50_000;
/** The text box of a chat that is still to be begun. */
const NEW_CHAT = '';

type Draft = readonly [chatId: string, text: string];

export class DraftStore {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem'>;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem'>) {
    this.#storage = storage;
  }

  /** @param chatId undefined: a chat that is still to be begun */
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

  /** The draft goes along when its chat is begun, or begun anew. */
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
