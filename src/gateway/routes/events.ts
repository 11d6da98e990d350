// GET /v1/sessions/{id}/events: the chat as server-sent events. [PROTOCOL §5]
import type { FastifyRequest } from 'fastify';
import Type from 'typebox';
import { sseWire } from '../../wires/native.ts';
import type { Identity } from '../auth/identity.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from '../http/http-app.ts';
import { cursorIdSchema, errorSchema, positionSchema, sessionParams } from '../http/wire-schemas.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from './open-stream.ts';

const querystring = Type.Object({
  after: Type.Optional(positionSchema),
  cursor: Type.Optional(cursorIdSchema),
  onReset: Type.Optional(Type.Literal('close')),
  until: Type.Optional(Type.Literal('idle')),
  ticket: Type.Optional(Type.String({ maxLength: 128 })),
  // Some EventSource libraries cannot set the `Last-Event-ID` header, and send one of these parameters instead.
  lastEventId: Type.Optional(positionSchema),
  last_event_id: Type.Optional(positionSchema),
});

type EventsQuery = Type.Static<typeof querystring>;
type EventsRequest = FastifyRequest<{ Params: { sessionId: string }; Querystring: EventsQuery }>;

const URL = '/v1/sessions/:sessionId/events';

export function eventsRoutes(app: HttpApp, deps: StreamRoutesDeps): void {
  const schema = { tags: ['events'], params: sessionParams, querystring, response: { '4xx': errorSchema } };
  app.get(URL, { schema, config: { access: 'own', isLast: true } }, async (request, reply) => {
    const { sessionId } = request.params;
    const { after, cursor, onReset = 'restart', until = 'forever', ticket } = request.query;
    const prepare = async (identity: Identity): Promise<PreparedStream> => ({
      start: await deps.streams.start(identity, sessionId, { after: lastEventId(request) ?? after, cursor }),
      encoder: sseWire.shared,
      onReset,
      until,
    });
    await openStream(deps, request, reply, { url: URL, wire: sseWire, sessionId, ticket, prepare });
    return reply;
  });
}

/** The last event id of a reconnect. It is later than the `after` in the URL, at which the stream began. An
 *  EventSource that has received no event sends no id, or an empty one. */
function lastEventId({ headers, query }: EventsRequest): string | undefined {
  const given = headers['last-event-id'];
  if (Array.isArray(given)) throw new GatewayError('invalid-position');
  return [given, query.lastEventId, query.last_event_id].find((position) => position !== undefined && position !== '');
}
