// GET /api/chat/ws: the upgrade to a WebSocket for `WebSocketChatTransport`. A browser cannot set a header on it, so it
// needs no credential: each frame has its own. Refusals before the upgrade are plain HTTP.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { WebSocketServer } from 'ws';
import { requireScope } from '../../auth/identity.ts';
import type { TokenVerifier } from '../../auth/token-verifier.ts';
import type { Connections } from '../../connections/connections.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { GatewayError } from '../../gateway-error.ts';
import { forgetRequest } from '../../http/forget-request.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { upgradeOf } from '../../http/upgrades.ts';
import type { Admission, CountedConnection } from '../../limits/admission.ts';
import { UnknownCallers } from '../../limits/unknown-callers.ts';
import type { Readiness } from '../../readiness.ts';
import { WsConnection } from '../../ws/ws-connection.ts';
import { ChatSocket } from './chat-socket.ts';
import { PendingStops } from './pending-stops.ts';
import { ChatFrames, type ChatFramesDeps } from './socket-frame.ts';
import { SocketRequests, type SocketRequestsDeps, type SocketSettings } from './socket-requests.ts';

export interface SocketRouteDeps extends SocketRequestsDeps, ChatFramesDeps {
  readonly config: GatewayConfig;
  readonly tokens: TokenVerifier;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly readiness: Readiness;
}

const flag = Type.Optional(Type.Literal('1'));
const querystring = Type.Object({
  ticket: Type.Optional(Type.String({ maxLength: 128 })),
  data: flag,
  metadata: flag,
  abort: Type.Optional(Type.Literal('stop')),
});

/** The close code for a text that is no frame of this protocol. */
const UNSUPPORTED_DATA = 1003;

export function socketRoute(app: HttpApp, deps: SocketRouteDeps): void {
  const { config, clock, credentials, readiness, admission } = deps;
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: config.wireBodyBytesMax,
    maxFragments: config.wsFragmentsMax,
    maxBufferedChunks: config.wsBufferedChunksMax,
    perMessageDeflate: false,
  });
  const callers = new UnknownCallers();
  const frames = new ChatFrames(deps);
  app.route({
    method: 'GET',
    url: '/ws',
    schema: { querystring },
    config: { access: 'own' },
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      const { ticket, data, metadata, abort } = request.query;
      const upgrade = upgradeOf(request.raw);
      readiness.mustNotDrain();
      // A request that is no upgrade must not spend the ticket.
      const identity = await credentials.ofUpgrade(request, upgrade === undefined ? undefined : ticket);
      if (upgrade === undefined) throw new GatewayError('upgrade-required');
      if (identity !== undefined) requireScope(identity, 'chat');
      admission.check(request.ip, identity?.principal);
      const counted = admission.enter(request.ip);
      const known = enterUnknown(callers, request.ip, counted);
      reply.hijack();
      const settings: SocketSettings = {
        address: request.ip,
        identity,
        options: { hasData: data === '1', hasMetadata: metadata === '1' },
        stops: abort === 'stop' ? new PendingStops(clock) : undefined,
      };
      upgrade.socket.once('close', () => {
        known();
        counted.release();
      });
      server.handleUpgrade(request.raw, upgrade.socket, upgrade.head, (socket) =>
        // The server makes a `WebSocket` of `ws`; `@fastify/websocket` exports that class under a second name, which
        // the rule takes for another class.
        // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- one class, two names
        openSocket({ deps, frames, settings, counted, onKnown: known }, socket, request, reply),
      );
      return reply;
    },
  });
}

/** Counts a socket whose user is not known yet. Returns what ends that. @throws GatewayError too-many, node-full */
function enterUnknown(callers: UnknownCallers, address: string, counted: CountedConnection): () => void {
  try {
    return callers.enter(address);
  } catch (error) {
    counted.release();
    throw error;
  }
}

interface OpenSocket {
  readonly deps: SocketRouteDeps;
  readonly frames: ChatFrames;
  readonly settings: SocketSettings;
  readonly counted: CountedConnection;
  readonly onKnown: () => void;
}

/** Not async: frames can arrive in the same turn of the event loop, and the listeners must be attached by then. */
function openSocket(
  { deps, frames, settings, counted, onKnown }: OpenSocket,
  socket: WebSocket,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const { config, clock, tokens, connections, streams, onDefect } = deps;
  const connection: WsConnection = new WsConnection(socket, request.raw.socket, {
    clock,
    config,
    onText: async (text) => requests.serve(text),
    closeCode: ({ error, close }) => (error.code === 'bad-frame' ? UNSUPPORTED_DATA : close),
    onClosed: () => {
      settings.stops?.close();
      chat.close();
      connections.remove(chat);
    },
    onDefect,
  });
  const chat: ChatSocket = new ChatSocket(connection, { clock, tokens, config, streams, counted, onKnown });
  const requests: SocketRequests = new SocketRequests(deps, frames, settings, chat);
  connections.add(chat);
  forgetRequest(request.raw, reply.raw);
  try {
    if (settings.identity !== undefined) chat.authenticate(settings.identity);
  } catch (error) {
    connection.closeFor(error);
  }
}
