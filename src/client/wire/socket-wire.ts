// Chats over WebSocket: owns the socket that new subscriptions join, and opens another when that one is closed, about
// to close, or already carries the same chat. The socket itself is `shared-socket.ts`.
import type { Environment } from '../environment.ts';
import { SharedSocket } from './shared-socket.ts';
import type { WebSocketLike } from './shared-socket.ts';
import type { TokenSource } from '../http/token-source.ts';
import type { Wire, WireAttempt, WireRequest, WireSink } from '../protocol/wire.ts';

export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;

const SUBPROTOCOL = 'holdline.v1';

export class SocketWire implements Wire {
  readonly name = 'websocket';
  readonly #open: () => WebSocketLike;
  readonly #tokens: TokenSource;
  readonly #environment: Environment;
  #socket: SharedSocket | undefined;

  constructor(baseUrl: string, constructor: WebSocketConstructor, tokens: TokenSource, environment: Environment) {
    const url = `${baseUrl.replace(/\/+$/, '').replace(/^http/, 'ws')}/v1/ws`;
    this.#open = () => new constructor(url, SUBPROTOCOL);
    this.#tokens = tokens;
    this.#environment = environment;
  }

  open(request: WireRequest, sink: WireSink): WireAttempt {
    const joinable = this.#socket?.isUsable === true && !this.#socket.has(request.sessionId);
    if (!joinable || this.#socket === undefined) {
      this.#socket = new SharedSocket(this.#open, request.token, this.#tokens, this.#environment);
    }
    return this.#socket.subscribe(request, sink);
  }
}
