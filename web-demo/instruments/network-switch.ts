// The network as this page sees it, with a switch. "Drop the connection" cuts it here, beneath the SDK, which
// notices and recovers as it would from a tunnel or a dead router: the demo has no special path of its own.
import type { Fetch, WebSocketConstructor } from '../../src/client/chat-client.ts';

export class NetworkSwitch {
  readonly #open = new Set<() => void>();
  #isCut = false;

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Breaks every open connection, and refuses new ones until `mend`. */
  cut(): void {
    this.#isCut = true;
    for (const breakOff of [...this.#open]) breakOff();
  }

  mend(): void {
    this.#isCut = false;
    // A device sends this event when its network is back.
    window.dispatchEvent(new Event('online'));
  }

  readonly fetch: Fetch = async (url, init) => {
    if (this.#isCut) throw new TypeError('the network is cut');
    const abort = new AbortController();
    const breakOff = (): void => abort.abort(new TypeError('the network was cut'));
    const giveUp = (): void => {
      this.#open.delete(breakOff);
      abort.abort();
    };
    this.#open.add(breakOff);
    init.signal?.addEventListener('abort', giveUp, { once: true });
    const response = await fetch(url, { ...init, signal: abort.signal }).catch((error: unknown) => {
      this.#open.delete(breakOff);
      throw error;
    });
    // Only a stream stays open after its headers; everything else is as good as over.
    if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) this.#open.delete(breakOff);
    return response;
  };

  /** A WebSocket on this network. */
  webSocket(): WebSocketConstructor {
    // `this` of a class expression is not the switch, so the two values are captured here.
    const open = this.#open;
    const isCut = (): boolean => this.#isCut;
    return class extends WebSocket {
      constructor(url: string, protocols?: string | string[]) {
        if (isCut()) throw new TypeError('the network is cut');
        super(url, protocols);
        const breakOff = (): void => this.close();
        open.add(breakOff);
        this.addEventListener('close', () => open.delete(breakOff));
      }
    };
  }
}
