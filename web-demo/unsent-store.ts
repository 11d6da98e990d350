// Messages that were not acknowledged yet when the page was reloaded. Sent again under the same id, each is in the
// chat exactly once, whether the first attempt had arrived or not. For one tab: another one has not sent them.

const KEY = 'holdline.unsent';

export interface Unsent {
  readonly chatId: string;
  readonly messageId: string;
  readonly content: string;
  /** The prompt in whose place it stands. */
  readonly replaces?: string;
}

export class UnsentStore {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem'>;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem'>) {
    this.#storage = storage;
  }

  of(chatId: string): readonly Unsent[] {
    return this.#load().filter((unsent) => unsent.chatId === chatId);
  }

  add(unsent: Unsent): void {
    this.#save([...this.#load(), unsent]);
  }

  remove(messageId: string): void {
    this.#save(this.#load().filter((unsent) => unsent.messageId !== messageId));
  }

  removeChat(chatId: string): void {
    this.#save(this.#load().filter((unsent) => unsent.chatId !== chatId));
  }

  #load(): readonly Unsent[] {
    const stored: unknown = JSON.parse(this.#storage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isUnsent) : [];
  }

  #save(all: readonly Unsent[]): void {
    this.#storage.setItem(KEY, JSON.stringify(all));
  }
}

/** Storage outlives versions of this page. */
function isUnsent(value: unknown): value is Unsent {
  const fields = value as Partial<Unsent> | null;
  if (typeof fields?.chatId !== 'string' || typeof fields.messageId !== 'string' || typeof fields.content !== 'string') return false;
  return fields.replaces === undefined || typeof fields.replaces === 'string';
}
