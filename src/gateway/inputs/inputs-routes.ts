// /v1/sessions/{id}/inputs: what runs of the session ask a human for, and the answers. [PROTOCOL §3]
import Type from 'typebox';
import type { OpenInput } from '../../session/inputs.ts';
import type { ChatCommands } from '../chat-commands.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { answerFields, errorSchema, sessionParams } from '../http/wire-schemas.ts';

const tags = ['inputs'];
/** Any text in a path: a text that cannot be an id names an input that does not exist, and is not a bad request. */
const inputParams = Type.Object({ sessionId: Type.String(), inputId: Type.String() });
const answeredSchema = Type.Object({
  runId: Type.String(),
  open: Type.Integer({ description: 'inputs of the run that are still open' }),
});

const inputSchema = Type.Object({
  runId: Type.String(),
  inputId: Type.String(),
  kind: Type.String({ description: '`approval`, `question` or `tool`' }),
  toolCallId: Type.Optional(Type.String()),
  toolName: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  schema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  choices: Type.Optional(Type.Array(Type.String())),
  createdAt: Type.String({ format: 'date-time' }),
  expiresAt: Type.String({ format: 'date-time' }),
});

const listSchema = Type.Unsafe<{ readonly inputs: readonly OpenInput[] }>(
  Type.Object({ inputs: Type.Array(inputSchema) }),
);

export function inputsRoutes(app: HttpApp, commands: ChatCommands): void {
  const answered = { 202: answeredSchema, '4xx': errorSchema };
  app.post(
    '/v1/sessions/:sessionId/inputs/:inputId',
    { schema: { tags, params: inputParams, body: Type.Object(answerFields), response: answered } },
    async (request, reply) => {
      const { sessionId, inputId } = request.params;
      return reply.code(202).send(await commands.answerInput(identityOf(request), sessionId, inputId, request.body));
    },
  );

  const querystring = Type.Object({ state: Type.Optional(Type.Literal('open')) });
  app.get(
    '/v1/sessions/:sessionId/inputs',
    { schema: { tags, params: sessionParams, querystring, response: { 200: listSchema, '4xx': errorSchema } } },
    async (request) => ({ inputs: await commands.openInputs(identityOf(request), request.params.sessionId) }),
  );
}
