// /v1/sessions/{id}/cursors/{cursorId}: stores and reads the position of a named reader. [PROTOCOL §3]
import Type from 'typebox';
import { encodePosition } from '../../broker/position.ts';
import { storeCursor, type CursorDeps } from '../cursor-store.ts';
import { GatewayError } from '../gateway-error.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { cursorIdSchema, errorSchema, positionSchema } from '../http/wire-schemas.ts';

const params = Type.Object({ sessionId: Type.String(), cursorId: cursorIdSchema });
const cursorBody = Type.Object({ position: positionSchema });
const tags = ['cursors'];

export function cursorsRoutes(app: HttpApp, deps: CursorDeps): void {
  const url = '/v1/sessions/:sessionId/cursors/:cursorId';

  app.put(
    url,
    { schema: { tags, params, body: cursorBody, response: { 204: Type.Null(), '4xx': errorSchema } } },
    async (request, reply) => {
      const identity = identityOf(request);
      const { sessionId, cursorId } = request.params;
      await storeCursor(deps, identity, sessionId, cursorId, request.body.position);
      return reply.code(204).send(null);
    },
  );

  app.get(url, { schema: { tags, params, response: { 200: cursorBody, '4xx': errorSchema } } }, async (request) => {
    const identity = identityOf(request);
    const { sessionId, cursorId } = request.params;
    const ref = await deps.sessionIds.find(identity, sessionId);
    await deps.sessions.authorize(identity.principal, ref);
    const position = await deps.cursors.read(identity.principal, ref, cursorId);
    if (position === undefined) throw new GatewayError('cursor-not-found');
    return { position: encodePosition(position) };
  });
}
