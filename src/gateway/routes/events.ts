// GET /v1/sessions/{id}/events: the chat as server-sent events. Everything that can be refused is refused as plain
// HTTP; after that the response is a stream and this code is done with it. [PROTOCOL §5]
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Clock } from '../../base/clock.ts';
import { sseEncoder } from '../../stream/sse-encoder.ts';
import type { Admission } from '../limits/admission.ts';
import { untilItsTurn, type LastRequests } from '../http/answer-order.ts';
import type { Credentials } from '../auth/credentials.ts';
import { requireScope } from '../auth/identity.ts';
import type { StreamCookie } from '../auth/stream-cookie.ts';
import type { TokenVerifier } from '../auth/token-verifier.ts';
import type { Connections } from '../connections/connections.ts';
import type { EventStreams } from '../event-streams.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { forgetRequest } from '../http/forget-request.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from '../http/http-app.ts';
import type { Metrics } from '../metrics.ts';
import type { Readiness } from '../readiness.ts';
import { SseConnection, writeStreamHead } from '../connections/sse-connection.ts';
import { cursorIdSchema, errorSchema, positionSchema, sessionParams } from '../http/wire-schemas.ts';

export interface EventsRoutesDeps {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly credentials: Credentials;
  readonly tokens: TokenVerifier;
  readonly streamCookie: StreamCookie;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly streams: EventStreams;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly lastRequests: LastRequests;
}

const querystring = Type.Object({
  after: Type.Optional(positionSchema),
  cursor: Type.Optional(cursorIdSchema),
  onReset: Type.Optional(Type.Literal('close')),
  until: Type.Optional(Type.Literal('idle')),
  ticket: Type.Optional(Type.String({ maxLength: 128 })),
  // What an EventSource that is no browser's own sends in place of the header, which it cannot set.
  lastEventId: Type.Optional(positionSchema),
  last_event_id: Type.Optional(positionSchema),
});

type EventsQuery = Type.Static<typeof querystring>;
type EventsRequest = FastifyRequest<{ Params: { sessionId: string }; Querystring: EventsQuery }>;

const URL = '/v1/sessions/:sessionId/events';

export function eventsRoutes(app: HttpApp, deps: EventsRoutesDeps): void {
  const schema = { tags: ['events'], params: sessionParams, querystring, response: { '4xx': errorSchema } };
  app.get(URL, { schema, config: { access: 'own', isLast: true } }, async (request, reply) => {
    await openStream(deps, request, reply);
    return reply;
  });
}

async function openStream(deps: EventsRoutesDeps, request: EventsRequest, reply: FastifyReply): Promise<void> {
  const { config, clock, random, readiness, credentials, tokens, streams, admission, connections, metrics } = deps;
  const { socket } = request.raw;
  const isHead = request.method === 'HEAD';
  if (!(await untilItsTurn(reply.raw, socket, clock))) {
    reply.hijack();
    return;
  }
  // Before the ticket is spent.
  readiness.mustNotDrain();
  const { sessionId } = request.params;
  const { after, cursor, onReset = 'restart', until = 'forever', ticket } = request.query;
  // A HEAD spends nothing.
  const { identity, byTicket } = await credentials.ofStream(request, isHead ? undefined : ticket);
  requireScope(identity, 'chat');
  const start = await streams.start(identity, sessionId, { after: lastEventId(request) ?? after, cursor });
  admission.check(request.ip, identity.principal);
  if (isHead) {
    reply.hijack();
    writeStreamHead(reply.raw, ownHeaders(reply));
    reply.raw.end();
    return;
  }
  const place = admission.enter(request.ip);
  place.assign(identity.principal);
  const cookie = byTicket
    ? deps.streamCookie.write(identity, sessionId, { now: clock.now(), secure: isOverTls(request, config) })
    : undefined;
  reply.hijack();
  deps.lastRequests.startStream(socket);
  const connection = new SseConnection(socket, {
    clock,
    heartbeatMs: config.sseHeartbeatMs,
    identity,
    tokens,
    onClosed: (closed) => {
      place.release();
      connections.remove(closed);
    },
  });
  connections.add(connection);
  metrics.onRequest(URL, 200);
  const retryMs = Math.floor(config.sseRetryMs * (0.5 + random()));
  connection.open(
    reply.raw,
    { ...ownHeaders(reply), ...(cookie === undefined ? {} : { 'set-cookie': cookie }) },
    retryMs,
  );
  forgetRequest(request.raw, reply.raw);
  const { signal } = connection;
  void streams.run({ start, wire: 'sse', encoder: sseEncoder, sink: connection, signal, onReset, until });
}

/** A proxy that ends TLS and is not named looks like plain HTTP from here, so the configured URL counts as well. */
function isOverTls(request: FastifyRequest, { publicUrl }: GatewayConfig): boolean {
  return request.protocol === 'https' || publicUrl?.startsWith('https:') === true;
}

/** An EventSource that has seen nothing yet sends none, or an empty one. In the URL it stands beside the `after` with which
 *  the stream began, and is the later one. */
function lastEventId({ headers, query }: EventsRequest): string | undefined {
  const given = headers['last-event-id'];
  if (Array.isArray(given)) throw new GatewayError('invalid-position');
  return [given, query.lastEventId, query.last_event_id].find((position) => position !== undefined && position !== '');
}

/** What the guards have put on the reply so far, which a hijacked response does not send by itself. */
function ownHeaders(reply: FastifyReply): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) headers[name] = typeof value === 'number' ? String(value) : value;
  }
  return headers;
}
