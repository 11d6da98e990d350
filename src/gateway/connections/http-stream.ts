// One stream over an HTTP response: the sink of a subscription. Node writes the head; this file writes everything behind it
// to the socket itself, so that a frame of a body that ends with the connection is one write and nothing around it.
// [PROTOCOL §5]
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import { StopController, type StopSignal } from '../../base/stop-signal.ts';
import type { EventSink, Frame, StreamEnd } from '../../stream/event-sink.ts';
import type { ControlEvent, Wire, WireEncoder } from '../../stream/projection.ts';
import type { Identity } from '../auth/identity.ts';
import type { TokenVerifier } from '../auth/token-verifier.ts';
import { PULSE_MS, type Connection } from './connections.ts';
import { StallWatch } from './stall-watch.ts';

/** A reader that does not take the rest of an ended stream within this is cut. */
export const STREAM_LINGER_MS = 5_000;
/** After this much silence the kernel asks whether the other side still is there. */
const KEEP_ALIVE_PROBE_MS = 30_000;

const STREAM_HEADERS = {
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
} as const;

export type StreamHeaders = Readonly<Record<string, string | string[]>>;

export function writeStreamHead(response: ServerResponse, wire: Wire, headers: StreamHeaders): void {
  // Without a length and without chunks, the body ends with the connection. [RFC 9112 §6.3]
  if (wire.framing === 'until-close') response.removeHeader('transfer-encoding');
  const framing = wire.framing === 'chunked' ? { 'transfer-encoding': 'chunked' } : {};
  response.writeHead(200, { ...headers, ...wire.headers, ...STREAM_HEADERS, ...framing });
}

export interface HttpStreamOptions {
  readonly wire: Wire;
  /** Of this stream: writes what the connection itself has to say. */
  readonly encoder: WireEncoder;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly identity: Identity;
  readonly tokens: Pick<TokenVerifier, 'isStillGood'>;
  readonly onClosed: (stream: HttpStream) => void;
}

export class HttpStream implements EventSink, Connection {
  readonly #socket: Socket;
  readonly #isChunked: boolean;
  readonly #options: HttpStreamOptions;
  readonly #closed = new StopController();
  readonly #stall = new StallWatch();
  #nextBeat: number;
  #isEnding = false;
  #linger: Timer | undefined;

  constructor(socket: Socket, options: HttpStreamOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#isChunked = options.wire.framing === 'chunked';
    this.#nextBeat = options.clock.mono() + options.heartbeatMs;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    // Broken is closed, and `close` follows.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#onClosed());
  }

  get wire(): Wire['name'] {
    return this.#options.wire.name;
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

  open(response: ServerResponse, headers: StreamHeaders, retryMs: number): void {
    const { wire } = this.#options;
    writeStreamHead(response, wire, headers);
    response.flushHeaders();
    this.write(wire.begin(retryMs));
    // A client that left before anybody listened is not told about again.
    if (this.#socket.destroyed) this.#onClosed();
  }

  write(frame: Frame): void {
    // An empty chunk would end the body.
    if (this.#isEnding || !this.#socket.writable || frame.length === 0) return;
    this.#socket.write(this.#isChunked ? chunk(frame) : frame);
  }

  onceDrained(callback: () => void): void {
    if (this.#socket.writableNeedDrain) this.#socket.once('drain', callback);
    else setImmediate(callback);
  }

  /** A chunked body ends only when its stream is complete. For any other reason the connection is cut, so that the reader
   *  does not take a part for the whole. */
  end(reason: StreamEnd): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (this.#isChunked) {
      if (reason !== 'done' && reason !== 'idle') {
        this.destroy();
        return;
      }
      this.#socket.write(LAST_CHUNK);
    }
    this.#linger = this.#options.clock.after(STREAM_LINGER_MS, () => this.destroy());
    this.#socket.destroySoon();
  }

  onPulse(): void {
    const { clock, identity, tokens, heartbeatMs } = this.#options;
    if (!tokens.isStillGood(identity)) {
      this.#endWith({ type: 'expired' });
      return;
    }
    const now = clock.mono();
    if (this.#stall.isStuck(this.bufferedBytes, now)) this.destroy();
    // The pulse nearest to when it is due.
    if (now < this.#nextBeat - PULSE_MS / 2) return;
    this.#nextBeat += heartbeatMs;
    // What is still on its way keeps the connection awake.
    if (this.bufferedBytes === 0) this.write(this.#options.wire.beat);
  }

  askToReconnect(afterMs: number): void {
    this.#endWith({ type: 'reconnect', afterMs });
  }

  #endWith(event: ControlEvent): void {
    this.write(this.#options.encoder.encodeControl(event));
    this.end('failed');
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

const LAST_CHUNK = '0\r\n\r\n';

/** [RFC 9112 §7.1] */
function chunk(frame: Frame): string | Buffer {
  const text = typeof frame === 'string' ? frame : frame.toString();
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}
