// /v1/sessions/{id}/branches and /branch, and the request for another answer. None of them removes a message. [PROTOCOL
// §3]
import Type from 'typebox';
import { traceOfRequest } from '../../base/tracing.ts';
import type { ChatCommands } from '../chat-commands.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { errorSchema, messageParams, regenerationSchema, runIdSchema, sessionParams } from '../http/wire-schemas.ts';

const tags = ['branches'];
const branchSchema = Type.Object({ runId: Type.String(), position: Type.String(), isShown: Type.Boolean() });
const regeneratedSchema = Type.Object({
  messageId: Type.String(),
  answerId: Type.String(),
  runId: Type.String(),
  position: Type.String(),
  queued: Type.Integer(),
});

export function branchesRoutes(app: HttpApp, commands: ChatCommands): void {
  const listed = { 200: Type.Object({ branches: Type.Array(branchSchema) }), '4xx': errorSchema };
  app.get(
    '/v1/sessions/:sessionId/branches',
    { schema: { tags, params: sessionParams, response: listed } },
    async (request) => {
      return { branches: await commands.listBranches(identityOf(request), request.params.sessionId) };
    },
  );

  const selection = Type.Object({ runId: runIdSchema });
  app.put(
    '/v1/sessions/:sessionId/branch',
    { schema: { tags, params: sessionParams, body: selection, response: { 204: Type.Null(), '4xx': errorSchema } } },
    async (request, reply) => {
      await commands.select(identityOf(request), request.params.sessionId, request.body.runId);
      return reply.code(204).send(null);
    },
  );

  const regenerated = { 202: regeneratedSchema, '4xx': errorSchema };
  app.post(
    '/v1/sessions/:sessionId/messages/:messageId/regenerate',
    { schema: { tags, params: messageParams, body: regenerationSchema, response: regenerated } },
    async (request, reply) => {
      const { sessionId, messageId } = request.params;
      const sent = await commands.regenerate(
        identityOf(request),
        sessionId,
        messageId,
        request.body,
        traceOfRequest(request.headers['traceparent']),
      );
      return reply.code(202).send(sent);
    },
  );
}
