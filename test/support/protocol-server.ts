// A small server that speaks the wire protocol from arrays, to test clients over real sockets without the gateway. The
// test appends every event and switches every fault. It has no timers, so heartbeats, cuts and closes happen when the
// test says so.
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { ScriptedChat } from '../client/scripted-chat.ts';
import type { Viewer, ViewerFaults } from '../client/scripted-chat.ts';
import { serveSocket } from '../client/scripted-socket.ts';
import type { SeenFrame, SocketFaults } from '../client/scripted-socket.ts';

type Fields = Readonly<Record<string, unknown>>;

interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly retryAfter?: string;
}

export interface Faults extends ViewerFaults, SocketFaults {
  /** Cuts the connection instead of answering this many of the next posted messages, after storing them. */
  loseReplies: number;
  /** When set, every request gets this answer instead. */
  status: { readonly status: number; readonly retryAfter?: string } | undefined;
  /** When set, each socket is closed with this right after it opened. */
  socketClose: { readonly code: number; readonly reason: string } | undefined;
  /** Cuts the upgrade, like a network that lets only plain HTTP through. */
  noWebSocket: boolean;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

export class ProtocolServer {
  readonly faults: Faults = {
    cutAfter: undefined,
    repeat: 0,
    merge: false,
    omit: new Set(),
    isSilent: false,
    loseReplies: 0,
    refusedTokens: new Set(),
    status: undefined,
    socketClose: undefined,
    noWebSocket: false,
  };
  /** HTTP requests, in order. */
  readonly requests: SeenRequest[] = [];
  /** Frames from clients, in order. */
  readonly frames: SeenFrame[] = [];
  readonly chats = new Map<string, ScriptedChat>();
  readonly #otherwise: RequestListener | undefined;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #open = new Set<WebSocket>();
  #socketCount = 0;

  /** @param otherwise answers requests that are not below `/v1`, such as those for the files of a page */
  private constructor(otherwise: RequestListener | undefined) {
    this.#otherwise = otherwise;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (this.faults.noWebSocket) socket.destroy();
      else this.#sockets.handleUpgrade(request, socket, head, (opened) => this.#serveSocket(opened));
    });
  }

  static async listen(otherwise?: RequestListener, port = 0): Promise<ProtocolServer> {
    const server = new ProtocolServer(otherwise);
    await new Promise<void>((resolve) => server.#server.listen(port, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The chat with that id. A missing chat is created, as a first write does. */
  chat(sessionId: string): ScriptedChat {
    const chat = this.chats.get(sessionId) ?? new ScriptedChat(sessionId, this.faults);
    this.chats.set(sessionId, chat);
    return chat;
  }

  get socketCount(): number {
    return this.#socketCount;
  }

  posts(path: string): readonly SeenRequest[] {
    return this.requests.filter((request) => request.method === 'POST' && request.path.endsWith(path));
  }

  /** Closes every WebSocket, as a server does when it drains or a token expires. */
  closeSockets(code: number, reason = ''): void {
    for (const socket of this.#open) socket.close(code, reason);
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://local');
    if (!url.pathname.startsWith('/v1/')) {
      if (this.#otherwise === undefined) response.writeHead(404).end();
      else this.#otherwise(request, response);
      return;
    }
    const body = await readJson(request);
    const method = request.method ?? 'GET';
    this.requests.push({ method, path: url.pathname, headers: request.headers, body });
    const reply = this.#route(method, url.pathname.split('/'), body, request, response);
    if (reply === 'cut') response.destroy();
    if (typeof reply === 'string') return;
    if (reply.retryAfter !== undefined) response.setHeader('retry-after', reply.retryAfter);
    response.writeHead(reply.status, { 'content-type': 'application/json' });
    response.end(reply.body === undefined ? undefined : JSON.stringify(reply.body));
  }

  #route(
    method: string,
    path: readonly string[],
    body: Fields,
    request: IncomingMessage,
    response: ServerResponse,
  ): Reply | 'cut' | 'streams' {
    const token = (request.headers.authorization ?? '').replace('Bearer ', '');
    const { status, refusedTokens } = this.faults;
    if (status !== undefined) return { ...refusal(status.status), ...status };
    if (token === '' || refusedTokens.has(token)) return refusal(401);
    const [, , , id, rest] = path;
    if (id === undefined) return this.#answerList(method, body);
    const chat = this.chats.get(id);
    if (rest === 'messages' && path.length === 5 && method === 'POST') return this.#post(this.chat(id), body);
    if (chat === undefined) return refusal(404);
    if (rest === 'messages' && path[5] !== undefined)
      return this.#answerMessage(`${method} ${path[6] ?? ''}`.trim(), chat, decodeURIComponent(path[5]), body);
    if (rest === 'events') {
      this.#serveEvents(chat, request, response);
      return 'streams';
    }
    return this.#answerChat(`${method} ${rest ?? ''}`.trim(), chat, body);
  }

  #answerList(method: string, body: Fields): Reply {
    if (method === 'POST') {
      const chat = this.chat(textOr(body['sessionId'], crypto.randomUUID()));
      return { status: 201, body: { sessionId: chat.sessionId, position: chat.position } };
    }
    return { status: 200, body: { sessions: [...this.chats.values()].reverse().map((chat) => chat.summary()) } };
  }

  #post(chat: ScriptedChat, body: Fields): Reply | 'cut' {
    const receipt = chat.post(body);
    return this.#maybeLost(receipt === 'conflict' ? refusal(409, 'message-conflict') : { status: 202, body: receipt });
  }

  #answerMessage(call: string, chat: ScriptedChat, messageId: string, body: Fields): Reply | 'cut' {
    if (call === 'POST regenerate') return this.#maybeLost({ status: 202, body: chat.regenerate(messageId, body) });
    if (!chat.isWaiting(messageId)) return refusal(409, 'not-waiting');
    if (call === 'PATCH') chat.append('message.edited', { messageId, content: body['content'], user: 'u' });
    else chat.append('run.cancelled', { runId: `run-${messageId}`, by: 'u', reason: 'withdrawn' });
    return { status: 204 };
  }

  #maybeLost(reply: Reply): Reply | 'cut' {
    if (this.faults.loseReplies === 0) return reply;
    this.faults.loseReplies -= 1;
    return 'cut';
  }

  #answerChat(call: string, chat: ScriptedChat, body: Fields): Reply {
    if (call === 'POST cancel') {
      const runId = chat.cancel(body['runId']);
      return runId === undefined ? refusal(409, 'no-active-run') : { status: 202, body: { runId } };
    }
    if (call === 'PUT branch') {
      chat.append('branch.selected', { runId: body['runId'], by: 'u' });
      return { status: 204 };
    }
    if (call === 'GET messages') return { status: 200, body: { messages: [], position: chat.position } };
    if (call !== 'DELETE') return refusal(404);
    chat.control('reset', { reason: 'removed' });
    chat.endAll();
    this.chats.delete(chat.sessionId);
    return { status: 204 };
  }

  #serveEvents(chat: ScriptedChat, request: IncomingMessage, response: ServerResponse): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
    });
    response.write('retry: 200\n\n: hello\n\n');
    const viewer: Viewer = {
      send: ({ id: position, event, data }) => {
        response.write(
          `${position === undefined ? '' : `id: ${position}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`,
        );
      },
      beat: () => void response.write(': hb\n\n'),
      end: () => void response.end(),
      // The cut comes after the written bytes have left this process: a cut in a network comes behind the bytes, not
      // before them.
      cut: () => void response.write(':\n\n', () => response.destroy()),
    };
    response.on('close', () => chat.leave(viewer));
    chat.join(viewer, textOr(request.headers['last-event-id'], 'earliest'));
  }

  #serveSocket(socket: WebSocket): void {
    this.#socketCount += 1;
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
    serveSocket(socket, this.#socketCount, this);
    const { socketClose } = this.faults;
    if (socketClose !== undefined) socket.close(socketClose.code, socketClose.reason);
  }
}

function refusal(status: number, code = `code-${status}`): Reply {
  return { status, body: { error: { code, message: 'scripted', retryable: status >= 429 } } };
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

async function readJson(request: IncomingMessage): Promise<Fields> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? {} : (JSON.parse(text) as Fields);
}
