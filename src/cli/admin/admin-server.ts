// The running server's side of `holdline topics`: a Unix socket in the data folder that only the folder's owner may
// open. Owns the socket and its connections.
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Logger } from 'pino';
import { isBrokerError } from '../../broker/errors.ts';
import {
  ADMIN_REQUEST_BYTES_MAX,
  adminSocketPath,
  withSocketPath,
  type AdminAnswer,
  type AdminRequest,
  type TopicStore,
} from './admin-protocol.ts';
import { readLines } from './read-lines.ts';

export class AdminServer {
  readonly #store: TopicStore;
  readonly #logger: Logger;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #path = '';

  constructor(store: TopicStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = 16;
  }

  /** This process holds the folder, so an existing socket was left by a process that died. */
  async listen(folder: string): Promise<void> {
    this.#path = adminSocketPath(folder);
    await rm(this.#path, { force: true });
    await withSocketPath(folder, async (path) => {
      this.#server.listen(path);
      await once(this.#server, 'listening');
    });
    await chmod(this.#path, 0o600);
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
    await rm(this.#path, { force: true });
  }

  #accept(socket: Socket): void {
    this.#open.add(socket);
    const gone = new AbortController();
    socket.on('close', () => {
      this.#open.delete(socket);
      gone.abort();
    });
    socket.on('error', (error) => this.#logger.debug({ err: error }, 'admin connection broke'));
    void this.#answer(socket, gone.signal);
  }

  /** Never rejects: an error is sent as the answer. */
  async #answer(socket: Socket, signal: AbortSignal): Promise<void> {
    const send = (answer: AdminAnswer): boolean => socket.write(`${JSON.stringify(answer)}\n`);
    try {
      const line = await requestLine(socket);
      if (line === undefined) return;
      // The other end is the same program, run by the folder's owner.
      const request = JSON.parse(line) as AdminRequest;
      if (request.op === 'tail') {
        for await (const item of this.#store.tail(request.args[0], request.args[1], { signal })) {
          if (!send({ item })) await once(socket, 'drain', { signal });
        }
        send({ done: null });
      } else {
        send({ done: (await this.#call(request)) ?? null });
      }
    } catch (error) {
      if (signal.aborted) return;
      const message = error instanceof Error ? error.message : 'failed';
      send({ error: { code: isBrokerError(error) ? error.code : 'invalid-request', message } });
    }
    socket.end();
  }

  async #call(request: Exclude<AdminRequest, { op: 'tail' }>): Promise<unknown> {
    switch (request.op) {
      case 'health':
        return this.#store.health();
      case 'check':
        return this.#store.check?.(request.args[0] ?? undefined);
      case 'checkIndex':
        return this.#store.checkIndex?.();
      case 'agents':
        return this.#store.agents?.();
      case 'damaged':
        return this.#store.damaged?.();
      case 'lostParts':
        return this.#store.lostParts?.();
      case 'list':
        return this.#store.list(request.args[0], request.args[1]);
      case 'describe':
        return this.#store.describe(request.args[0], request.args[1]);
      case 'read':
        return this.#store.read(request.args[0], request.args[1], request.args[2]);
      case 'release':
        return this.#store.release(request.args[0]);
      case 'remove':
        return this.#store.remove(request.args[0]);
      case 'append':
        return this.#store.append(request.args[0]);
      case 'pause':
        return this.#store.setPaused(request.args[0]);
      default:
        throw new Error(`no such operation: ${String((request satisfies never as { op: unknown }).op)}`);
    }
  }
}

/** Undefined where the connection ends before the line does. */
async function requestLine(socket: Socket): Promise<string | undefined> {
  // The answer uses the same socket, so the end of the iteration must not close it.
  const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  try {
    for await (const line of readLines(chunks, ADMIN_REQUEST_BYTES_MAX)) return line;
    return undefined;
  } finally {
    // Discards further input: a socket that is not read does not notice that the other end has closed.
    socket.resume();
  }
}
