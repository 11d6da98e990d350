// One WebSocket as a transport: it serves incoming frames one after the other, sends outgoing frames and pings, keeps
// the limits, and closes with the codes of [PROTOCOL §6]. It does not interpret frames; `dispatch.ts` does.
import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { RawData } from 'ws';
import type { Clock } from '../../base/clock.ts';
import type { Frame } from '../../stream/event-sink.ts';
import { closeReason, mapError, type MappedError } from '../error-map.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { StallWatch } from '../connections/stall-watch.ts';
import { TokenBucket } from '../limits/token-bucket.ts';

/** Frames of one socket that wait to be served. At this number the gateway stops reading from the socket. */
export const WAITING_FRAMES_MAX = 64;
/** Of the same frames, in UTF-16 code units: as many as WAITING_FRAMES_MAX frames of /v1/ws have. */
export const WAITING_CHARS_MAX = 4 * 1024 * 1024;
/** Unsent bytes in a socket above which its next frame is not served. Subscriptions stop at a quarter of it by
 *  themselves. Replies have no such limit of their own: without this one they grow with every frame of a client that
 *  never reads. */
export const UNTAKEN_BYTES_MAX = 1024 * 1024;
/** A client that does not answer the close within this time is disconnected. */
export const WS_LINGER_MS = 5_000;

export interface WsConnectionOptions {
  readonly clock: Clock;
  readonly config: GatewayConfig;
  /** Called for one frame at a time. A rejection closes the socket with the code of its error. */
  readonly onText: (text: string) => Promise<void>;
  readonly onClosed: () => void;
  /** Receives unexpected errors. */
  readonly onDefect: (error: unknown) => void;
  /** The close code of an error. Default: that of the native protocol. */
  readonly closeCode?: (mapped: MappedError) => number;
}

export class WsConnection {
  readonly #socket: WebSocket;
  readonly #transport: Socket;
  readonly #options: WsConnectionOptions;
  readonly #bucket: TokenBucket;
  readonly #stall = new StallWatch();
  readonly #waiting: string[] = [];
  #waitingChars = 0;
  readonly #onDrained = new Set<() => void>();
  #isServing = false;
  #pingedAt: number;
  #awaitsPong = false;
  #closingAt: number | undefined;

  /** Attaches all listeners synchronously, because a frame may already be buffered. */
  constructor(socket: WebSocket, transport: Socket, options: WsConnectionOptions) {
    const { clock, config } = options;
    this.#socket = socket;
    this.#transport = transport;
    this.#options = options;
    this.#bucket = new TokenBucket(clock, config.framesPerSecond, config.framesBurst);
    this.#pingedAt = clock.mono();
    transport.setNoDelay(true);
    transport.on('drain', () => this.#drained());
    socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    socket.on('ping', () => this.#mayContinue());
    socket.on('pong', () => this.#mayContinue());
    // After an error `ws` closes with the right code (1002, 1007, 1009) by itself, and `close` follows. The plugin's
    // own listener would retain the request and the reply of the upgrade until the socket closes.
    socket.removeAllListeners('error').on('error', () => undefined);
    socket.once('close', () => this.#onClosed());
  }

  get bufferedBytes(): number {
    return this.#transport.writableLength;
  }

  get isClosing(): boolean {
    return this.#closingAt !== undefined;
  }

  send(frame: Frame): void {
    if (!this.isClosing) this.#socket.send(frame, { binary: false });
  }

  onceDrained(callback: () => void): void {
    if (this.#transport.writableNeedDrain) this.#onDrained.add(callback);
    else setImmediate(callback);
  }

  /** Closes the socket with the close code of the error. */
  closeFor(error: unknown): void {
    const mapped = mapError(error);
    if (mapped.isDefect) this.#options.onDefect(error);
    this.#close(this.#options.closeCode?.(mapped) ?? mapped.close, closeReason(mapped));
  }

  terminate(): void {
    this.#socket.terminate();
  }

  onPulse(): void {
    const { clock, config } = this.#options;
    const now = clock.mono();
    if (this.#closingAt !== undefined) {
      if (now - this.#closingAt >= WS_LINGER_MS) this.terminate();
      return;
    }
    if (this.#stall.isStuck(this.bufferedBytes, now)) this.terminate();
    if (this.#awaitsPong && now - this.#pingedAt >= config.wsPongMs) this.terminate();
    // A ping behind buffered frames is answered only after the client has read them, so a late pong would prove
    // nothing.
    if (this.#awaitsPong || now - this.#pingedAt < config.wsPingMs || this.bufferedBytes > 0) return;
    this.#awaitsPong = true;
    this.#pingedAt = now;
    this.#socket.ping();
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (!this.#mayContinue()) return;
    if (isBinary || !Buffer.isBuffer(data)) {
      this.closeFor(new GatewayError('bad-frame'));
      return;
    }
    const text = data.toString();
    this.#waiting.push(text);
    this.#waitingChars += text.length;
    if (this.#waiting.length >= WAITING_FRAMES_MAX || this.#waitingChars >= WAITING_CHARS_MAX) this.#socket.pause();
    if (!this.#isServing) void this.#serve();
  }

  /** Counts every incoming frame against the rate limit, pings and pongs included. False: the socket is closing. */
  #mayContinue(): boolean {
    if (this.isClosing) return false;
    this.#awaitsPong = false;
    if (this.#bucket.take()) return true;
    this.closeFor(new GatewayError('too-many'));
    return false;
  }

  /** Never rejects. */
  async #serve(): Promise<void> {
    this.#isServing = true;
    for (let text = this.#waiting.shift(); text !== undefined && !this.isClosing; text = this.#waiting.shift()) {
      this.#waitingChars -= text.length;
      try {
        await this.#untilTaken();
        await this.#options.onText(text);
      } catch (error) {
        this.closeFor(error);
      }
      if (this.#waiting.length === 0 && this.#socket.isPaused) this.#socket.resume();
    }
    this.#isServing = false;
  }

  async #untilTaken(): Promise<void> {
    while (this.bufferedBytes > UNTAKEN_BYTES_MAX && !this.isClosing)
      await new Promise<void>((resolve) => this.onceDrained(resolve));
  }

  #dropWaiting(): void {
    this.#waiting.length = 0;
    this.#waitingChars = 0;
  }

  #drained(): void {
    const callbacks = [...this.#onDrained];
    this.#onDrained.clear();
    for (const callback of callbacks) callback();
  }

  #close(code: number, reason: string): void {
    if (this.isClosing) return;
    this.#closingAt = this.#options.clock.mono();
    this.#dropWaiting();
    // The client's answer to the close must be read.
    if (this.#socket.isPaused) this.#socket.resume();
    this.#socket.close(code, reason);
  }

  #onClosed(): void {
    this.#closingAt ??= this.#options.clock.mono();
    this.#dropWaiting();
    this.#drained();
    this.#options.onClosed();
  }
}
