// GET /v1/ws: the upgrade. What can be refused before it is refused as plain HTTP; after it, frames decide.
// [PROTOCOL §6]
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Clock } from '../../clock.ts';
import type { Admission } from '../admission.ts';
import { requireScope, type Identity } from '../auth/identity.ts';
import type { Connections } from '../connections.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from '../http-app.ts';
import type { Readiness } from '../readiness.ts';
import { dispatchFrame } from '../frames/dispatch.ts';
import type { FrameDeps } from '../frames/frame-deps.ts';
import { SocketSession } from '../socket-session.ts';
import { errorSchema } from '../wire-schemas.ts';
import { WsConnection } from '../ws-connection.ts';

export interface SocketRoutesDeps extends FrameDeps {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly readiness: Readiness;
}

export const SUBPROTOCOL = 'holdline.v1';

const querystring = Type.Object({ ticket: Type.Optional(Type.String({ maxLength: 128 })) });

export function socketRoutes(app: HttpApp, deps: SocketRoutesDeps): void {
  const { credentials, readiness, admission } = deps;
  /** Of requests that are on their way to being a socket. */
  const upgrading = new WeakMap<FastifyRequest, Identity>();
  app.route({
    method: 'GET',
    url: '/v1/ws',
    schema: { tags: ['events'], querystring, response: { '4xx': errorSchema } },
    config: { access: 'own' },
    preHandler: async (request) => {
      if (!request.ws) throw new GatewayError('upgrade-required');
      readiness.mustNotDrain();
      const identity = await credentials.ofUpgrade(request, request.query.ticket);
      if (identity !== undefined) requireScope(identity, 'chat');
      admission.check(request.ip, identity?.principal);
      if (identity !== undefined) upgrading.set(request, identity);
    },
    handler: async () => {
      throw new GatewayError('upgrade-required');
    },
    wsHandler: (socket, request) => openSocket(deps, socket, request, upgrading.get(request)),
  });
}

/** Not async: frames may come in the same turn, and handlers must stand by then. */
function openSocket(deps: SocketRoutesDeps, socket: WebSocket, request: FastifyRequest, identity: Identity | undefined): void {
  const { config, clock, admission, connections, streams, onDefect } = deps;
  const place = enter(admission, request.ip, socket);
  if (place === undefined) return;
  const connection: WsConnection = new WsConnection(socket, request.raw.socket, {
    clock,
    config,
    onText: async (text) => dispatchFrame(deps, session, text),
    onClosed: () => {
      session.close();
      connections.remove(session);
    },
    onDefect,
  });
  const session: SocketSession = new SocketSession(connection, { clock, config, streams, place });
  connections.add(session);
  try {
    if (identity !== undefined) session.authenticate(identity);
  } catch (error) {
    connection.closeFor(error);
  }
}

/** Others may have come between the check and the upgrade. */
function enter(admission: Admission, address: string, socket: WebSocket): ReturnType<Admission['enter']> | undefined {
  try {
    return admission.enter(address);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    socket.close(4429, JSON.stringify({ code: error.code, afterMs: 5000 }));
    return undefined;
  }
}
