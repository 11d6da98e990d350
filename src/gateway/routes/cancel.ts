// POST /v1/sessions/{id}/cancel: cancels the active run, or the run that the body names. [PROTOCOL §3]
import Type from 'typebox';
import type { ChatCommands } from '../chat-commands.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { errorSchema, sessionParams } from '../http/wire-schemas.ts';

const body = Type.Object({ runId: Type.Optional(Type.String({ maxLength: 128 })) });
const response = { 202: Type.Object({ runId: Type.String() }), '4xx': errorSchema };

export function cancelRoutes(app: HttpApp, commands: ChatCommands): void {
  app.post(
    '/v1/sessions/:sessionId/cancel',
    { schema: { tags: ['messages'], params: sessionParams, body, response } },
    async (request, reply) => {
      const cancelled = await commands.cancel(identityOf(request), request.params.sessionId, request.body.runId);
      return reply.code(202).send(cancelled);
    },
  );
}
