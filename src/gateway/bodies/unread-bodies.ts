// The rest of a body whose request is already refused. Many clients send their whole body before they read the answer.
// When a connection closes with bytes that nobody has read, the kernel resets it and drops the answer, so the client
// sees a broken connection in place of the refusal. So after its last answer the gateway closes its own side only, and
// reads and drops what the client still sends, within bounds. [RFC 9112 §9.6]
import { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import { callerOf } from '../limits/addresses.ts';
import type { LastRequests } from '../http/answer-order.ts';
import type { HttpApp } from '../http/http-app.ts';

/** Of one refused body: two attachments of the largest size. A client that sends more is cut. */
export const UNREAD_BYTES_MAX = 64 * 1024 * 1024;
/** A refused body may take as long as a request that is accepted. */
export const UNREAD_BODY_MS_MAX = 15_000;
/** Refused bodies that this node drops at once. Above these bounds the connection closes with its answer. */
export const UNREAD_BODIES_MAX = 256;
/** The same, for one address. */
export const UNREAD_BODIES_PER_CALLER_MAX = 16;

export interface UnreadBodiesDeps {
  readonly clock: Clock;
  readonly lastRequests: LastRequests;
}

export class UnreadBodies {
  readonly #deps: UnreadBodiesDeps;
  readonly #ofCaller = new Map<string, number>();
  #count = 0;

  constructor(deps: UnreadBodiesDeps) {
    this.#deps = deps;
  }

  /** Call it before an answer is sent after which the connection closes. */
  drop({ raw, ip }: FastifyRequest): void {
    const { socket } = raw;
    const caller = callerOf(ip);
    const own = this.#ofCaller.get(caller) ?? 0;
    if (this.#count >= UNREAD_BODIES_MAX || own >= UNREAD_BODIES_PER_CALLER_MAX) return;
    this.#count += 1;
    this.#ofCaller.set(caller, own + 1);
    const limit = this.#deps.clock.after(UNREAD_BODY_MS_MAX, () => socket.destroy());
    socket.once('close', () => {
      limit.cancel();
      this.#leave(caller);
    });
    // Requests behind this body are not carried out.
    this.#deps.lastRequests.add(socket);
    let isAnswered = false;
    // Node calls this method when the last answer is written. Its own version closes both sides.
    socket.destroySoon = () => {
      isAnswered = true;
      socket.end();
    };
    let bytes = 0;
    // An upload that broke off left its listener, and while there is one, no data flows.
    raw.removeAllListeners('readable').on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > UNREAD_BYTES_MAX) socket.destroy();
    });
    raw.once('end', () => {
      Reflect.deleteProperty(socket, 'destroySoon');
      if (isAnswered) socket.destroySoon();
    });
  }

  #leave(caller: string): void {
    this.#count -= 1;
    const left = (this.#ofCaller.get(caller) ?? 1) - 1;
    if (left === 0) this.#ofCaller.delete(caller);
    else this.#ofCaller.set(caller, left);
  }
}

/** Call it before the routes are added. */
export function dropUnreadBodies(app: HttpApp, deps: UnreadBodiesDeps): void {
  const bodies = new UnreadBodies(deps);
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (isCutShort(request, reply)) bodies.drop(request);
    done();
  });
}

/** The answer is the last of its connection, and the body of its request has not arrived completely. An injected
 *  request has no socket. */
function isCutShort({ raw }: FastifyRequest, reply: FastifyReply): boolean {
  return !raw.complete && reply.getHeader('connection') === 'close' && raw.socket instanceof Socket;
}
