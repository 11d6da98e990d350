// Filters upgrades before the WebSocket plugin receives them. /v1/ws and /api/chat/ws speak WebSocket: an upgrade
// request for another path is answered as a plain request or with 404, and its connection ends. Without this filter the
// plugin would accept it first, outside every limit. The plugin has one limit for the size of messages, so the route of
// /api/chat/ws, whose messages are larger, completes its upgrades itself.
import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { untilAnswered, type LastRequests } from './answer-order.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from './http-app.ts';

export const SOCKET_PATH = '/v1/ws';
export const CHAT_SOCKET_PATH = '/api/chat/ws';
const SOCKET_PATHS: ReadonlySet<string> = new Set([SOCKET_PATH, CHAT_SOCKET_PATH]);

export interface UpgradesDeps {
  readonly clock: Clock;
  readonly lastRequests: LastRequests;
}

/** The server that the plugin listens to in place of the real one: it emits the upgrades of /v1/ws, each after the
 *  earlier answers of its connection. */
export function upgradesFor(app: HttpApp, deps: UpgradesDeps): Server {
  // This server never listens. The plugin only needs its `upgrade` events.
  const accepted = createServer();
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // Node has removed its own error listener.
    socket.on('error', () => socket.destroy());
    void handUpgrade(app, deps, accepted, request, socket, head);
  });
  return accepted;
}

async function handUpgrade(
  app: HttpApp,
  { clock, lastRequests }: UpgradesDeps,
  accepted: Server,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  if (lastRequests.refuse(socket)) {
    // Node no longer reads from this socket. Reading on makes the client's end visible.
    socket.resume().once('end', () => socket.destroySoon());
    return;
  }
  if (!(await untilAnswered(socket, clock))) return;
  if (isSocketUpgrade(request) && pathOf(request) === SOCKET_PATH) {
    accepted.emit('upgrade', request, socket, head);
    return;
  }
  if (isSocketUpgrade(request) && pathOf(request) === CHAT_SOCKET_PATH) upgrades.set(request, { socket, head });
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  response.shouldKeepAlive = false;
  response.once('finish', () => socket.destroySoon());
  app.routing(request, response);
}

/** What a route needs to complete the upgrade of a request. */
export interface PendingUpgrade {
  readonly socket: Socket;
  /** The first bytes behind the request. */
  readonly head: Buffer;
}

const upgrades = new WeakMap<IncomingMessage, PendingUpgrade>();

/** The upgrade that the request of a route asks for. The plugin has those of /v1/ws. */
export function upgradeOf(request: IncomingMessage): PendingUpgrade | undefined {
  return upgrades.get(request);
}

/** For requests that do not reach the plugin. @throws GatewayError no-such-route */
export function refuseForeignUpgrade(request: IncomingMessage): void {
  if (isSocketUpgrade(request) && !SOCKET_PATHS.has(pathOf(request)))
    throw new GatewayError('no-such-route', { message: 'there is no WebSocket at this address' });
}

function isSocketUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? '';
}
