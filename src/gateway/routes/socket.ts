// GET /v1/ws: the upgrade to a WebSocket. Refusals before the upgrade are plain HTTP; after it they are frames and
// close codes. [PROTOCOL §6]
import type { ServerResponse } from 'node:http';
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Clock } from '../../base/clock.ts';
import type { Admission, CountedConnection } from '../limits/admission.ts';
import { requireScope, type Identity } from '../auth/identity.ts';
import type { TokenVerifier } from '../auth/token-verifier.ts';
import type { Connections } from '../connections/connections.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { closeReason, mapError } from '../error-map.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from '../http/http-app.ts';
import type { Readiness } from '../readiness.ts';
import { forgetRequest } from '../http/forget-request.ts';
import { dispatchFrame } from '../ws/dispatch.ts';
import type { FrameDeps } from '../ws/frames.ts';
import { SOCKET_PATH } from '../http/upgrades.ts';
import { SocketSession } from '../ws/socket-session.ts';
import { errorSchema } from '../http/wire-schemas.ts';
import { WsConnection } from '../ws/ws-connection.ts';

export interface SocketRoutesDeps extends FrameDeps {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly tokens: TokenVerifier;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly readiness: Readiness;
}

interface Upgrade {
  readonly identity: Identity | undefined;
  readonly response: ServerResponse;
}

export const SUBPROTOCOL = 'holdline.v1';

const querystring = Type.Object({ ticket: Type.Optional(Type.String({ maxLength: 128 })) });

export function socketRoutes(app: HttpApp, deps: SocketRoutesDeps): void {
  const { credentials, readiness, admission } = deps;
  /** Requests between their checks and the opened socket. */
  const upgrading = new WeakMap<FastifyRequest, Upgrade>();
  app.route({
    method: 'GET',
    url: SOCKET_PATH,
    schema: { tags: ['events'], querystring, response: { '4xx': errorSchema } },
    config: { access: 'own' },
    preHandler: async (request, reply) => {
      if (!request.ws) throw new GatewayError('upgrade-required');
      readiness.mustNotDrain();
      const identity = await credentials.ofUpgrade(request, request.query.ticket);
      if (identity !== undefined) requireScope(identity, 'chat');
      admission.check(request.ip, identity?.principal);
      upgrading.set(request, { identity, response: reply.raw });
    },
    handler: async () => {
      throw new GatewayError('upgrade-required');
    },
    wsHandler: (socket, request) => {
      const upgrade = upgrading.get(request);
      openSocket(deps, socket, request, upgrade?.identity);
      if (upgrade !== undefined) forgetRequest(request.raw, upgrade.response);
    },
  });
}

/** Not async: frames can arrive in the same turn of the event loop, and the listeners must be attached by then. */
function openSocket(
  deps: SocketRoutesDeps,
  socket: WebSocket,
  request: FastifyRequest,
  identity: Identity | undefined,
): void {
  const { config, clock, tokens, admission, connections, streams, onDefect } = deps;
  const counted = enter(admission, request.ip, socket);
  if (counted === undefined) return;
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
  const session: SocketSession = new SocketSession(connection, { clock, tokens, config, streams, counted });
  connections.add(session);
  try {
    if (identity !== undefined) session.authenticate(identity);
  } catch (error) {
    connection.closeFor(error);
  }
}

/** Checks the limits again, because other connections may have arrived between the check and the upgrade. Undefined:
 *  the socket is closed. */
function enter(admission: Admission, address: string, socket: WebSocket): CountedConnection | undefined {
  try {
    return admission.enter(address);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const mapped = mapError(error);
    socket.close(mapped.close, closeReason(mapped));
    return undefined;
  }
}
