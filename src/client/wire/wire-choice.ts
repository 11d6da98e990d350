// Which wire the next attempt uses. `auto` begins with WebSocket, because one socket carries every chat. If it cannot
// be opened (some networks allow only plain HTTP), it alternates between SSE and WebSocket until one opens, and stays
// with that one. All chats of a client share the choice.
import type { Wire, WireName } from '../protocol/wire.ts';

export type Transport = WireName | 'auto';

/** One failure has many causes; two in a row without an answer of the server point at this wire. */
const FAILURES_OF_A_NEW_WIRE = 2;
/** If the wire has worked before, a missing network is more likely. */
const FAILURES_OF_A_PROVEN_WIRE = 6;

export class WireChoice {
  readonly #sse: Wire;
  readonly #websocket: Wire | undefined;
  #transport: Transport;
  #auto: WireName;
  #failures = 0;
  #isProven = false;

  /** @param websocket undefined where the platform has none */
  constructor(transport: Transport, sse: Wire, websocket: Wire | undefined) {
    this.#sse = sse;
    this.#websocket = websocket;
    this.#transport = transport;
    this.#auto = websocket === undefined ? 'sse' : 'websocket';
    this.#check(transport);
  }

  get transport(): Transport {
    return this.#transport;
  }

  set transport(transport: Transport) {
    this.#check(transport);
    this.#transport = transport;
    this.#failures = 0;
  }

  next(): Wire {
    const name = this.#transport === 'auto' ? this.#auto : this.#transport;
    return name === 'websocket' && this.#websocket !== undefined ? this.#websocket : this.#sse;
  }

  opened(name: WireName): void {
    if (name !== this.#auto) return;
    this.#failures = 0;
    this.#isProven = true;
  }

  /** An attempt ended before the server sent a frame on it. */
  failedToOpen(name: WireName): void {
    if (name !== this.#auto || this.#websocket === undefined) return;
    this.#failures += 1;
    if (this.#failures < (this.#isProven ? FAILURES_OF_A_PROVEN_WIRE : FAILURES_OF_A_NEW_WIRE)) return;
    this.#failures = 0;
    this.#isProven = false;
    this.#auto = name === 'sse' ? 'websocket' : 'sse';
  }

  #check(transport: Transport): void {
    if (transport === 'websocket' && this.#websocket === undefined) {
      throw new TypeError('this platform has no WebSocket: pass a constructor in the options');
    }
  }
}
