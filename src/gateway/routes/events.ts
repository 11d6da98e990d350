// GET /v1/sessions/{id}/events: the chat as server-sent events. Everything that can be refused is refused as plain
// HTTP; after that the response is a stream and this code is done with it. [PROTOCOL §5]
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Clock } from '../../clock.ts';
import { sseEncoder } from '../../stream/sse-encoder.ts';
import type { Admission } from '../admission.ts';
import type { Credentials } from '../auth/credentials.ts';
import { requireScope } from '../auth/identity.ts';
import type { StreamCookie } from '../auth/stream-cookie.ts';
import type { Connections } from '../connections.ts';
import type { EventStreams } from '../event-streams.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { forgetRequest } from '../forget-request.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from '../http-app.ts';
import type { Metrics } from '../metrics.ts';
import type { Readiness } from '../readiness.ts';
import { SseConnection } from '../sse-connection.ts';
import { cursorIdSchema, errorSchema, positionSchema, sessionParams } from '../wire-schemas.ts';

export interface EventsRoutesDeps {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly credentials: Credentials;
  readonly streamCookie: StreamCookie;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly streams: EventStreams;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly streaming: WeakSet<Socket>;
}

const querystring = Type.Object({
  after: Type.Optional(positionSchema),
  cursor: Type.Optional(cursorIdSchema),
  onReset: Type.Optional(Type.Literal('close')),
  until: Type.Optional(Type.Literal('idle')),
  ticket: Type.Optional(Type.String({ maxLength: 128 })),
});

type EventsQuery = Type.Static<typeof querystring>;
type EventsRequest = FastifyRequest<{ Params: { sessionId: string }; Querystring: EventsQuery }>;

const URL = '/v1/sessions/:sessionId/events';

export function eventsRoutes(app: HttpApp, deps: EventsRoutesDeps): void {
  const schema = { tags: ['events'], params: sessionParams, querystring, response: { '4xx': errorSchema } };
  app.get(URL, { schema, config: { access: 'own' } }, async (request, reply) => {
    await openStream(deps, request, reply);
    return reply;
  });
}

async function openStream(deps: EventsRoutesDeps, request: EventsRequest, reply: FastifyReply): Promise<void> {
  const { config, clock, random, readiness, credentials, streams, admission, connections, metrics } = deps;
  // Before the ticket is spent.
  readiness.mustNotDrain();
  const { sessionId } = request.params;
  const { after, cursor, onReset = 'restart', until = 'forever', ticket } = request.query;
  const { identity, byTicket } = await credentials.ofStream(request, ticket);
  requireScope(identity, 'chat');
  const start = await streams.start(identity, sessionId, { after: lastEventId(request) ?? after, cursor });
  admission.check(request.ip, identity.principal);
  const place = admission.enter(request.ip);
  place.assign(identity.principal);
  const cookie = byTicket ? deps.streamCookie.write(identity, sessionId, { now: clock.now(), secure: isOverTls(request, config) }) : undefined;
  reply.hijack();
  deps.streaming.add(request.raw.socket);
  const connection = new SseConnection(request.raw.socket, {
    clock,
    heartbeatMs: config.sseHeartbeatMs,
    expiresAt: identity.expiresAt,
    onClosed: (closed) => {
      place.release();
      connections.remove(closed);
    },
  });
  connections.add(connection);
  metrics.onRequest(URL, 200);
  const retryMs = Math.floor(config.sseRetryMs * (0.5 + random()));
  connection.open(reply.raw, { ...ownHeaders(reply), ...(cookie === undefined ? {} : { 'set-cookie': cookie }) }, retryMs);
  forgetRequest(request.raw, reply.raw);
  const { signal } = connection;
  void streams.run({ start, wire: 'sse', encoder: sseEncoder, sink: connection, signal, onReset, until });
}

/** A proxy that ends TLS and is not named looks like plain HTTP from here, so the configured URL counts as well. */
function isOverTls(request: FastifyRequest, { publicUrl }: GatewayConfig): boolean {
  return request.protocol === 'https' || publicUrl?.startsWith('https:') === true;
}

/** An EventSource that has seen nothing yet sends none, or an empty one. */
function lastEventId(request: FastifyRequest): string | undefined {
  const given = request.headers['last-event-id'];
  if (Array.isArray(given)) throw new GatewayError('invalid-position');
  return given === '' ? undefined : given;
}

/** What the guards have put on the reply so far, which a hijacked response does not send by itself. */
function ownHeaders(reply: FastifyReply): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) headers[name] = typeof value === 'number' ? String(value) : value;
  }
  return headers;
}
