// Upgrades before anything else sees them. Only /v1/ws speaks WebSocket: what asks for an upgrade anywhere else is
// answered as the plain request that it is, or with 404, and its connection ends. The plugin for WebSockets would accept
// it first, outside every limit.
import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { untilAnswered, type LastRequests } from './answer-order.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from './http-app.ts';

export const SOCKET_PATH = '/v1/ws';

export interface UpgradesDeps {
  readonly clock: Clock;
  readonly lastRequests: LastRequests;
}

/** What the plugin listens to in place of the server: upgrades of /v1/ws, each when it is its turn. */
export function upgradesFor(app: HttpApp, deps: UpgradesDeps): Server {
  // It never listens. The plugin only wants to be told of upgrades.
  const accepted = createServer();
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // Node has removed its own listener.
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
    // Node reads no more from it: read on, so that the end of the client is noticed.
    socket.resume().once('end', () => socket.destroySoon());
    return;
  }
  if (!(await untilAnswered(socket, clock))) return;
  if (isSocketUpgrade(request) && pathOf(request) === SOCKET_PATH) {
    accepted.emit('upgrade', request, socket, head);
    return;
  }
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  response.shouldKeepAlive = false;
  response.once('finish', () => socket.destroySoon());
  app.routing(request, response);
}

/** For every request that the plugin does not see. @throws GatewayError no-such-route */
export function refuseForeignUpgrade(request: IncomingMessage): void {
  if (isSocketUpgrade(request) && pathOf(request) !== SOCKET_PATH)
    throw new GatewayError('no-such-route', { message: 'there is no WebSocket at this address' });
}

function isSocketUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? '';
}
