// The body of an upload, as a stream: nothing of it is buffered beyond what the kernel and Node hold, and it is read as
// fast as it is stored. An upload may take longer than other requests, so it has time limits of its own.
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock, Timer } from '../../base/clock.ts';
import { GatewayError } from '../gateway-error.ts';

/** An upload of which no byte arrives for this long has ended. */
export const UPLOAD_IDLE_MS = 30_000;
/** 32 MiB over a line of half a megabit a second. */
export const UPLOAD_MS_MAX = 10 * 60 * 1000;

/** The connections with an upload under way, which the limit of Node for whole requests does not end. */
export class UploadsUnderWay {
  readonly #sockets = new WeakSet<Socket>();

  has(socket: Socket): boolean {
    return this.#sockets.has(socket);
  }

  /** From now until the answer to this request is over. */
  begin(request: FastifyRequest, reply: FastifyReply): void {
    const { socket } = request.raw;
    this.#sockets.add(socket);
    reply.raw.once('close', () => this.#sockets.delete(socket));
  }

  /** Reads the body. After a time limit the rest stays unread, so that the refusal can be sent. @throws GatewayError
   *  request-timeout, and the error of a connection that broke */
  async *read({ raw }: FastifyRequest, clock: Clock): AsyncGenerator<Uint8Array, void, undefined> {
    const pieces = (raw as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const limit = new UploadTime(clock);
    try {
      for (;;) {
        const next = pieces.next();
        const piece = await Promise.race([next, limit.over]);
        if (piece === TOO_LONG) {
          next.catch(() => undefined);
          throw new GatewayError('request-timeout');
        }
        if (piece.done === true) return;
        yield piece.value;
        limit.renew();
      }
    } finally {
      limit.end();
    }
  }
}

const TOO_LONG = 'too long';

/** Two times: for the next piece, which includes the time in which the storage takes the last one, and for all. */
class UploadTime {
  readonly over: Promise<typeof TOO_LONG>;
  readonly #clock: Clock;
  readonly #whole: Timer;
  #end: () => void = () => undefined;
  #idle: Timer;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.over = new Promise((resolve) => {
      this.#end = () => resolve(TOO_LONG);
    });
    this.#whole = clock.after(UPLOAD_MS_MAX, () => this.#end());
    this.#idle = clock.after(UPLOAD_IDLE_MS, () => this.#end());
  }

  renew(): void {
    this.#idle.cancel();
    this.#idle = this.#clock.after(UPLOAD_IDLE_MS, () => this.#end());
  }

  end(): void {
    this.#idle.cancel();
    this.#whole.cancel();
  }
}

/** The declared length. @throws GatewayError length-required, invalid-request, too-large */
export function uploadLength({ headers }: FastifyRequest, bytesMax: number): number {
  const text = headers['content-length'];
  if (text === undefined) throw new GatewayError('length-required');
  const bytes = Number(text);
  if (bytes === 0) throw new GatewayError('invalid-request', { message: 'an upload has at least one byte' });
  if (bytes > bytesMax)
    throw new GatewayError('too-large', {
      message: `the upload is too large: it has at most ${bytesMax} bytes`,
      details: { limit: bytesMax },
    });
  return bytes;
}
