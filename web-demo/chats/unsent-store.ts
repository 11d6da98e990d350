// Messages that were not acknowledged yet when the page was reloaded. Sent again under the same id, each is in the
// chat exactly once, whether the first attempt had arrived or not. For one tab: another one has not sent them.
import type { MessageContent, WireError } from '../../src/client/chat-client.ts';

const KEY = 'holdline.unsent';

export interface Unsent {
  readonly chatId: string;
  readonly messageId: string;
  readonly content: MessageContent;
  /** The prompt that this one replaces, on a branch. */
  readonly replaces?: string;
  /** Whom it is for; absent: the server decides. */
  readonly agent?: string;
  /** Why the server refused it. It is sent again only when its author asks for it. */
  readonly refused?: WireError;
}

export class UnsentStore {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem'>;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem'>) {
    this.#storage = storage;
  }

  of(chatId: string): readonly Unsent[] {
    return this.#load().filter((unsent) => unsent.chatId === chatId);
  }

  find(messageId: string): Unsent | undefined {
    return this.#load().find((unsent) => unsent.messageId === messageId);
  }

  /** Replaces the stored message with this id. */
  add(unsent: Unsent): void {
    this.#save([...this.#load().filter(({ messageId }) => messageId !== unsent.messageId), unsent]);
  }

  refuse(messageId: string, refused: WireError): void {
    this.#save(this.#load().map((unsent) => (unsent.messageId === messageId ? { ...unsent, refused } : unsent)));
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
  if (typeof fields?.chatId !== 'string' || typeof fields.messageId !== 'string') return false;
  if (typeof fields.content !== 'string' && !Array.isArray(fields.content)) return false;
  if (fields.refused !== undefined && typeof (fields.refused as Partial<WireError> | null)?.message !== 'string')
    return false;
  if (fields.agent !== undefined && typeof fields.agent !== 'string') return false;
  return fields.replaces === undefined || typeof fields.replaces === 'string';
}
