// One stream over an HTTP response, as the sink of a subscription. Node writes the head; this file writes the body to
// the socket itself. So a frame of a body that ends with the connection is exactly one write. [PROTOCOL §5]
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

/** In ms. The gateway cuts the connection of an ended stream if the reader has not taken the rest within this time. */
export const STREAM_LINGER_MS = 5_000;
/** In ms. The kernel probes the connection after this much silence. */
const KEEP_ALIVE_PROBE_MS = 30_000;

const STREAM_HEADERS = {
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
} as const;

export type StreamHeaders = Readonly<Record<string, string | string[]>>;

export function writeStreamHead(response: ServerResponse, wire: Wire, headers: StreamHeaders): void {
  // A body without a length and without chunks ends with the connection. [RFC 9112 §6.3]
  if (wire.framing === 'until-close') response.removeHeader('transfer-encoding');
  response.writeHead(200, { ...headers, ...wire.headers, ...STREAM_HEADERS, ...framingOf(response, wire) });
}

/** The connection ends with its stream, and the head says so: a client that takes it for its next request (httpx does)
 *  would find it closed. But with `connection: close` the fetch of Node 20 takes a body in chunks for complete when the
 *  connection ends before the last chunk. So the head for a fetch, which names its mode [Fetch metadata], says instead
 *  that an unused connection ends after a second, which is too short for a fetch to keep it. */
function framingOf({ req }: ServerResponse, { framing }: Wire): StreamHeaders {
  if (framing !== 'chunked') return { connection: 'close' };
  const isFetch = req.headers['sec-fetch-mode'] !== undefined && req.method !== 'HEAD';
  return {
    'transfer-encoding': 'chunked',
    ...(isFetch ? { connection: 'keep-alive', 'keep-alive': 'timeout=1' } : { connection: 'close' }),
  };
}

export interface HttpStreamOptions {
  readonly wire: Wire;
  /** The encoder of this stream, for the control events that the connection itself sends. */
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
    // `close` follows.
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
    // A client may have left before the constructor listened for `close`, and Node does not emit it twice.
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

  /** Ends a chunked body only when its stream is complete. For any other reason the gateway cuts the connection, so
   *  that the reader does not take a part of the answer for the whole. */
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
    // The heartbeat goes with the pulse that is nearest to its due time.
    if (now < this.#nextBeat - PULSE_MS / 2) return;
    this.#nextBeat += heartbeatMs;
    // Bytes that are still buffered keep the connection open as well.
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

/** One chunk of a chunked body. [RFC 9112 §7.1] */
function chunk(frame: Frame): string {
  const text = frame.toString();
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}
