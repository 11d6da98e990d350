// Orders the answers of one connection. A client may send the next request before the answer to the last one [RFC 9112
// §9.3.2], and Node passes it on at once. Node orders the answers that it writes itself. Code that writes to the socket
// by other means (an event stream, an upgrade, a refusal of bytes that are not a request) must wait here first, or its
// bytes end up inside the answer to an earlier request.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';

/** How long code waits for earlier answers. A client that does not read them within this time is disconnected. */
const TURN_MS = 30_000;
/** Requests after the last one of a connection. None is carried out, and each costs memory until the connection
 *  ends. */
const LEFTOVERS_MAX = 16;

/** The answer that Node writes to this socket now. Node's own code for bad requests reads the same private field. */
export function answerUnderWay(socket: Socket): ServerResponse | undefined {
  return (socket as Socket & { readonly _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

/** Resolves when every answer before this one is written. False: the connection has closed. */
export async function untilItsTurn(response: ServerResponse, socket: Socket, clock: Clock): Promise<boolean> {
  return waitFor(socket, clock, () => [response, undefined].includes(answerUnderWay(socket)));
}

/** Resolves when every answer is written. False: the connection has closed. */
export async function untilAnswered(socket: Socket, clock: Clock): Promise<boolean> {
  return waitFor(socket, clock, () => answerUnderWay(socket) === undefined);
}

async function waitFor(socket: Socket, clock: Clock, isDone: () => boolean): Promise<boolean> {
  if (isDone()) return !socket.destroyed;
  const limit = clock.after(TURN_MS, () => socket.destroy());
  while (!isDone() && !socket.destroyed) {
    const answer = answerUnderWay(socket);
    // When `close` fires, Node has already assigned the socket to the next answer.
    if (answer !== undefined) await new Promise((resolve) => answer.once('close', resolve));
  }
  limit.cancel();
  return !socket.destroyed;
}

/** The connections whose last request has arrived. An event stream ends with its connection, so later requests have no
 *  answer. */
export class LastRequests {
  readonly #known = new WeakMap<Socket, { isStreaming: boolean; leftovers: number }>();

  /** No later request of this connection is carried out. */
  add(socket: Socket): void {
    if (!this.#known.has(socket)) this.#known.set(socket, { isStreaming: false, leftovers: 0 });
  }

  /** The answer to the last request is a stream, and its head is written. */
  startStream(socket: Socket): void {
    this.#known.set(socket, { isStreaming: true, leftovers: 0 });
  }

  /** Called for every request. True: the request came after the last one and gets no answer. A client that sends a
   *  request while its stream is open is disconnected after the bytes written so far: no stream can be followed by
   *  another answer, also where its head does not say `connection: close` (http-stream.ts). */
  refuse(socket: Socket): boolean {
    const known = this.#known.get(socket);
    if (known === undefined) return false;
    known.leftovers += 1;
    if (known.isStreaming) socket.destroySoon();
    else if (known.leftovers > LEFTOVERS_MAX) socket.destroy();
    return true;
  }
}
