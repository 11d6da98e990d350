// Bounds what one user's reading of long chats costs the other users. A page is built when it is the user's turn. A
// user has a bounded number of pages at once, each from its request until its last byte has left this process: a page
// that its client does not read stays in memory, so the user's further pages wait, in a bounded queue.
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { wholeCharacterEnd } from '../../session/events/answer-builder.ts';
import type { Principal } from '../../session/session-ref.ts';
import { StopController } from '../../base/stop-signal.ts';
import { FairGate, type GateLimits } from '../../stream/fair-gate.ts';
import { userKey } from '../limits/admission.ts';
import { GatewayError } from '../gateway-error.ts';
import { identityOf, type HttpApp } from './http-app.ts';

/** Pages of this node that are requested and not yet sent completely; at most some MiB each. */
export const PAGES_MAX = 256;
/** The same, for one user. */
export const PAGES_PER_USER_MAX = 8;
export const PAGES_WAITING_MAX = 4_096;
/** A web page that opens many chats requests all of them at once. */
export const PAGES_WAITING_PER_USER_MAX = 64;
/** Concurrent reads of long chats. Each blocks the event loop for one or two milliseconds at a time. */
const READS_MAX = 8;
const READS_PER_USER_MAX = 2;
/** Characters of an answer that one write to the socket has. */
const CHUNK_CHARS = 64 * 1024;
/** A refused user may try again after this. */
const RETRY_MS = 2_000;

const PAGES: GateLimits = {
  insideMax: PAGES_MAX,
  insidePerUserMax: PAGES_PER_USER_MAX,
  waitingMax: PAGES_WAITING_MAX,
  waitingPerUserMax: PAGES_WAITING_PER_USER_MAX,
};

export class PageReads {
  readonly #pages: FairGate;
  readonly #reads = new FairGate({
    insideMax: READS_MAX,
    insidePerUserMax: READS_PER_USER_MAX,
    waitingMax: PAGES_WAITING_MAX,
    waitingPerUserMax: PAGES_WAITING_PER_USER_MAX,
  });
  readonly #sockets = new WeakMap<Socket, Set<() => void>>();

  /** `limits`: of the requests that `admit` admits. */
  constructor(limits = PAGES) {
    this.#pages = new FairGate(limits);
  }

  /** The pre-handler of routes that answer with a page: waits for one of the user's pages, and holds it until the
   *  answer is sent. @throws GatewayError too-many, node-full */
  readonly admit = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    const user = userKey(identityOf(request).principal);
    mustHaveRoom(this.#pages, user);
    const gone = new StopController();
    let isInside = false;
    this.#onceOver(request, reply, () => {
      gone.abort();
      if (isInside) this.#pages.leave(user);
    });
    isInside = await this.#pages.enter(user, gone);
    if (!isInside) return reply.hijack();
    // The connection may have ended between entering and this line.
    if (gone.aborted) this.#pages.leave(user);
    return undefined;
  };

  /** Reads or searches a chat when it is the user's turn. @throws GatewayError too-many, node-full */
  async inTurn<T>(principal: Principal, read: () => Promise<T>): Promise<T> {
    const user = userKey(principal);
    mustHaveRoom(this.#reads, user);
    await this.#reads.enter(user, NEVER);
    try {
      return await read();
    } finally {
      this.#reads.leave(user);
    }
  }

  /** Calls back once: when the kernel has the whole answer, or when its connection has closed. */
  #onceOver(request: FastifyRequest, reply: FastifyReply, callback: () => void): void {
    const { socket } = request.raw;
    // An answer that waits behind others of its connection emits no event when the connection ends.
    const waiting = this.#sockets.get(socket) ?? this.#watch(socket);
    const over = (): void => {
      if (waiting.delete(over)) callback();
    };
    waiting.add(over);
    reply.raw.once('finish', over).once('close', over);
    if (socket.destroyed) over();
  }

  #watch(socket: Socket): Set<() => void> {
    const waiting = new Set<() => void>();
    this.#sockets.set(socket, waiting);
    socket.once('close', () => {
      for (const over of waiting) over();
    });
    return waiting;
  }
}

const NEVER = new StopController();

function mustHaveRoom(gate: FairGate, user: string): void {
  if (gate.isCrowdedBy(user))
    throw new GatewayError('too-many', {
      message: 'too many requests of this user are being served',
      retryAfterMs: RETRY_MS,
    });
  if (gate.isCrowded)
    throw new GatewayError('node-full', {
      message: 'too many requests are being served on this node',
      retryAfterMs: RETRY_MS,
    });
}

/** A whole answer, or a stream of its pieces. */
export type PageBody = string | Readable;

/** Encodes an object with one long list as JSON, in pieces: for a slow reader this node holds the page, but not its
 *  whole text as well. A short answer is one text and has a content-length. */
export function pageBody(list: string, items: readonly unknown[], rest: Readonly<Record<string, unknown>>): PageBody {
  const pieces = jsonPieces(list, items, rest);
  const first = pieces.next();
  const second = pieces.next();
  const head = first.done === true ? '' : first.value;
  if (second.done === true) return head;
  return Readable.from(joined(head, second.value, pieces), { highWaterMark: 1 });
}

function* joined(first: string, second: string, rest: Iterable<string>): Generator<string> {
  yield first;
  yield second;
  yield* rest;
}

function* jsonPieces(
  list: string,
  items: readonly unknown[],
  rest: Readonly<Record<string, unknown>>,
): Generator<string, void, undefined> {
  let text = `{${JSON.stringify(list)}:[`;
  let separator = '';
  for (const item of items) {
    text += separator + JSON.stringify(item);
    separator = ',';
    while (text.length > CHUNK_CHARS) {
      const end = wholeCharacterEnd(text, CHUNK_CHARS);
      yield text.slice(0, end);
      text = text.slice(end);
    }
  }
  const fields = JSON.stringify(rest).slice(1);
  yield `${text}]${fields === '}' ? '' : ','}${fields}`;
}

/** Disconnects a client that does not read its answer: the answer holds memory and one of the user's pages. */
export function cutUnreadAnswers(app: HttpApp, unreadMs: number): void {
  app.addHook('onSend', async (_request, reply) => {
    // An injected request has no socket.
    if (reply.raw.socket instanceof Socket) reply.raw.socket.setTimeout(unreadMs);
  });
}
