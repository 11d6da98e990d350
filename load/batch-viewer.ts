// A viewer that costs its client next to nothing: the kernel keeps what arrives, and it is taken a few times a second and
// only counted. So a gateway can be loaded by a client that shares its machine. What it cannot say, the order and the age
// of a token, an SseClient beside it says.
import { connect, type Socket } from 'node:net';
import type { StreamTarget } from './sse-client.ts';

const LOOK_MS = 250;
const LINE_END = 0x0a;
/** Of whoever is looking: what is taken is counted at once. */
const TAKEN = Buffer.alloc(256 * 1024);

/** Of all viewers together. */
export interface BatchStats {
  events: number;
  broken: number;
}

export class BatchViewer {
  readonly #socket: Socket;
  readonly #stats: BatchStats;
  readonly #looking: NodeJS.Timeout;
  #endsInLineEnd = false;
  readonly opened: Promise<void>;

  constructor({ port, path, token }: StreamTarget, stats: BatchStats) {
    this.#stats = stats;
    let [succeed, fail]: [() => void, (error: Error) => void] = [() => undefined, () => undefined];
    this.opened = new Promise((resolve, reject) => ([succeed, fail] = [resolve, reject]));
    const take = (bytes: number): boolean => {
      const taken = TAKEN.subarray(0, bytes);
      if (taken.includes(' 200 OK')) succeed();
      this.#count(taken);
      // Not before it looks again. A paused stream would read on, into its own buffer.
      return false;
    };
    this.#socket = connect({ port, host: '127.0.0.1', onread: { buffer: TAKEN, callback: take } });
    this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`);
    this.#socket.on('error', fail);
    this.#socket.on('close', () => (this.#stats.broken += 1));
    this.#looking = setInterval(() => this.#socket.resume(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.#looking);
    this.#socket.removeAllListeners();
    this.#socket.on('error', () => undefined);
    this.#socket.destroy();
  }

  /** An empty line ends an event; heartbeats, which end in one as well, come four times a minute. */
  #count(chunk: Buffer): void {
    if (this.#endsInLineEnd && chunk[0] === LINE_END) this.#stats.events += 1;
    for (let at = chunk.indexOf('\n\n'); at >= 0; at = chunk.indexOf('\n\n', at + 2)) this.#stats.events += 1;
    this.#endsInLineEnd = chunk.at(-1) === LINE_END && chunk.at(-2) !== LINE_END;
  }
}
