// Where this browser keeps the token between visits. Local rather than session storage, because a second tab and
// a page that was closed are among the things that have to survive.

const KEY = 'holdline.token';

export class TokenStore {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>) {
    this.#storage = storage;
  }

  load(): string | undefined {
    return this.#storage.getItem(KEY) ?? undefined;
  }

  save(token: string): void {
    this.#storage.setItem(KEY, token);
  }

  forget(): void {
    this.#storage.removeItem(KEY);
  }
}
