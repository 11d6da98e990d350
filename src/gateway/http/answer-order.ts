// Which request of a connection is answered now. A client may send the next request before the answer to the last one
// (RFC 9112 §9.3.2), and Node hands it over at once. Node keeps the answers that it writes itself in order. What writes
// to the socket by other means (an event stream, an upgrade, a refusal of bytes that are no request) must wait for its
// turn in here, or its bytes stand inside the answer to an earlier request.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';

/** An answer that its client does not take within this holds up what is behind it: the connection is cut. */
const TURN_MS = 30_000;
/** Requests behind one that ends its connection. None is carried out, and each costs memory until the end. */
const LEFTOVERS_MAX = 16;

/** The answer that Node writes to this socket now; Node's own code for bad requests asks for it in the same way. */
export function answerUnderWay(socket: Socket): ServerResponse | undefined {
  return (socket as Socket & { readonly _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

/** Resolves when every answer before this one is written. False: the connection is gone. */
export async function untilItsTurn(response: ServerResponse, socket: Socket, clock: Clock): Promise<boolean> {
  return waitFor(socket, clock, () => [response, undefined].includes(answerUnderWay(socket)));
}

/** Resolves when every answer is written. False: the connection is gone. */
export async function untilAnswered(socket: Socket, clock: Clock): Promise<boolean> {
  return waitFor(socket, clock, () => answerUnderWay(socket) === undefined);
}

async function waitFor(socket: Socket, clock: Clock, isDone: () => boolean): Promise<boolean> {
  if (isDone()) return !socket.destroyed;
  const limit = clock.after(TURN_MS, () => socket.destroy());
  while (!isDone() && !socket.destroyed) {
    const answer = answerUnderWay(socket);
    // By the time of `close`, Node has given the socket to the next answer.
    if (answer !== undefined) await new Promise((resolve) => answer.once('close', resolve));
  }
  limit.cancel();
  return !socket.destroyed;
}

/** The connections whose last request has come: an event stream ends with its connection, so nothing is answered behind it. */
export class LastRequests {
  readonly #known = new WeakMap<Socket, { isStreaming: boolean; leftovers: number }>();

  /** Nothing that comes behind this request is carried out. */
  add(socket: Socket): void {
    if (!this.#known.has(socket)) this.#known.set(socket, { isStreaming: false, leftovers: 0 });
  }

  /** Its answer is a stream, and the head is written. */
  startStream(socket: Socket): void {
    this.#known.set(socket, { isStreaming: true, leftovers: 0 });
  }

  /** Asked for every request. True: it came too late, and gets no answer. A client that has seen the head of the stream
   *  was told `connection: close`; if it asks even so, the connection ends behind what the stream has said. */
  refuse(socket: Socket): boolean {
    const known = this.#known.get(socket);
    if (known === undefined) return false;
    known.leftovers += 1;
    if (known.isStreaming) socket.destroySoon();
    else if (known.leftovers > LEFTOVERS_MAX) socket.destroy();
    return true;
  }
}
