// POST /v1/tickets: issues a ticket, which replaces the caller's token once, in a URL. [PROTOCOL §2, §3]
import Type from 'typebox';
import type { Sessions } from '../../session/sessions.ts';
import type { Tickets } from '../auth/tickets.ts';
import { GatewayError } from '../gateway-error.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import type { SessionIds } from '../http/session-ids.ts';
import { errorSchema, sessionIdSchema } from '../http/wire-schemas.ts';

export interface TicketsRoutesDeps {
  readonly tickets: Tickets;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

const body = Type.Object({
  sessionId: Type.Optional(sessionIdSchema),
  purpose: Type.Optional(Type.Union([Type.Literal('stream'), Type.Literal('socket')])),
  scope: Type.Optional(Type.Union([Type.Literal('read'), Type.Literal('chat')])),
});
const response = { 201: Type.Object({ ticket: Type.String(), expiresAt: Type.String() }), '4xx': errorSchema };

export function ticketsRoutes(app: HttpApp, { tickets, sessionIds, sessions }: TicketsRoutesDeps): void {
  app.post('/v1/tickets', { schema: { tags: ['tickets'], body, response } }, async (request, reply) => {
    const identity = identityOf(request);
    const { sessionId, purpose = 'stream', scope = 'read' } = request.body;
    if (purpose === 'stream' && scope === 'chat')
      throw new GatewayError('invalid-request', {
        message: 'a stream only reads: the scope chat is for the purpose socket',
      });
    if (sessionId !== undefined)
      await sessions.authorize(identity.principal, await sessionIds.find(identity, sessionId));
    const { ticket, expiresAt } = await tickets.issue(identity, { sessionId, purpose, scope });
    return reply.code(201).send({ ticket, expiresAt: new Date(expiresAt).toISOString() });
  });
}
