// One SSE stream: the sink of a subscription over an HTTP response. The head goes through Node, everything after
// it straight to the socket: the body ends with the connection, so a frame is one write and nothing around it.
// [PROTOCOL §5]
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import { StopController, type StopSignal } from '../../base/stop-signal.ts';
import type { EventSink, Frame } from '../../stream/event-sink.ts';
import { SSE_HEARTBEAT, sseEncoder, sseRetry } from '../../stream/sse-encoder.ts';
import type { Identity } from '../auth/identity.ts';
import type { TokenVerifier } from '../auth/token-verifier.ts';
import { PULSE_MS, type Connection } from './connections.ts';
import { StallWatch } from './stall-watch.ts';

/** A reader that does not take the rest of an ended stream within this is cut. */
export const SSE_LINGER_MS = 5_000;
/** After this much silence the kernel asks whether the other side still is there. */
const KEEP_ALIVE_PROBE_MS = 30_000;

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
} as const;

export function writeStreamHead(response: ServerResponse, headers: Readonly<Record<string, string | string[]>>): void {
  // Without a length and without chunks, the body ends with the connection. [RFC 9112 §6.3]
  response.removeHeader('transfer-encoding');
  response.writeHead(200, { ...headers, ...SSE_HEADERS });
}

export interface SseConnectionOptions {
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly identity: Identity;
  readonly tokens: Pick<TokenVerifier, 'isStillGood'>;
  readonly onClosed: (connection: SseConnection) => void;
}

export class SseConnection implements EventSink, Connection {
  readonly wire = 'sse';
  readonly #socket: Socket;
  readonly #options: SseConnectionOptions;
  readonly #closed = new StopController();
  readonly #stall = new StallWatch();
  #nextBeat: number;
  #isEnding = false;
  #linger: Timer | undefined;

  constructor(socket: Socket, options: SseConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#nextBeat = options.clock.mono() + options.heartbeatMs;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    // Broken is closed, and `close` follows.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#onClosed());
  }

  get transport(): Socket {
    return this.#socket;
  }

  /** Aborts when the connection is gone. */
  get signal(): StopSignal {
    return this.#closed;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  open(response: ServerResponse, headers: Readonly<Record<string, string | string[]>>, retryMs: number): void {
    writeStreamHead(response, headers);
    response.flushHeaders();
    this.write(sseRetry(retryMs) + SSE_HEARTBEAT);
    // A client that left before anybody listened is not told about again.
    if (this.#socket.destroyed) this.#onClosed();
  }

  write(frame: Frame): void {
    if (!this.#isEnding && this.#socket.writable) this.#socket.write(frame);
  }

  onceDrained(callback: () => void): void {
    if (this.#socket.writableNeedDrain) this.#socket.once('drain', callback);
    else setImmediate(callback);
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#linger = this.#options.clock.after(SSE_LINGER_MS, () => this.destroy());
    this.#socket.destroySoon();
  }

  onPulse(): void {
    const { clock, identity, tokens, heartbeatMs } = this.#options;
    if (!tokens.isStillGood(identity)) {
      this.write(sseEncoder.encodeControl({ type: 'expired' }));
      this.end();
      return;
    }
    const now = clock.mono();
    if (this.#stall.isStuck(this.bufferedBytes, now)) this.destroy();
    // The pulse nearest to when it is due.
    if (now < this.#nextBeat - PULSE_MS / 2) return;
    this.#nextBeat += heartbeatMs;
    // What is still on its way keeps the connection awake.
    if (this.bufferedBytes === 0) this.write(SSE_HEARTBEAT);
  }

  askToReconnect(afterMs: number): void {
    this.write(sseEncoder.encodeControl({ type: 'reconnect', afterMs }));
    this.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onClosed(): void {
    if (this.#closed.aborted) return;
    this.#isEnding = true;
    this.#linger?.cancel();
    this.#closed.abort();
    this.#options.onClosed(this);
  }
}
