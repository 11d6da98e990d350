// What this browser remembers between visits, besides the token.
import type { Transport } from '../../src/client/chat-client.ts';

const WIRE_KEY = 'holdline.wire';
const INSTRUMENTS_KEY = 'holdline.instruments';

export class Settings {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem'>;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem'>) {
    this.#storage = storage;
  }

  get transport(): Transport {
    const saved = this.#storage.getItem(WIRE_KEY);
    return saved === 'sse' || saved === 'websocket' ? saved : 'auto';
  }

  set transport(transport: Transport) {
    this.#storage.setItem(WIRE_KEY, transport);
  }

  /** Whether "What survives" is shown on a wide screen. */
  get hasInstruments(): boolean {
    return this.#storage.getItem(INSTRUMENTS_KEY) !== 'closed';
  }

  set hasInstruments(has: boolean) {
    this.#storage.setItem(INSTRUMENTS_KEY, has ? 'open' : 'closed');
  }
}
