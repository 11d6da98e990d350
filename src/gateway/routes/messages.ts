// /v1/sessions/{id}/messages: reads the history, sends a prompt, and edits or withdraws a queued one. [PROTOCOL §3]
import Type from 'typebox';
import { encodePosition, type Position } from '../../broker/position.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { traceOfRequest } from '../../base/tracing.ts';
import type { Identity } from '../auth/identity.ts';
import type { ChatCommands } from '../chat-commands.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { pageBody, type PageBody, type PageReads } from '../http/page-reads.ts';
import type { SessionIds } from '../http/session-ids.ts';
import { parseGivenPosition } from '../http/wire-position.ts';
import {
  editSchema,
  errorSchema,
  messageParams,
  positionSchema,
  promptSchema,
  runIdSchema,
  sessionParams,
} from '../http/wire-schemas.ts';

export interface MessagesRoutesDeps {
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly commands: ChatCommands;
  readonly reads: PageReads;
}

export const HISTORY_LIMIT = 50;
export const HISTORY_LIMIT_MAX = 200;

const historyQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: HISTORY_LIMIT_MAX, default: HISTORY_LIMIT })),
  before: Type.Optional(positionSchema),
  branch: Type.Optional(runIdSchema),
});

type HistoryQuery = Type.Static<typeof historyQuery>;

const messageSchema = Type.Object({
  messageId: Type.String(),
  role: Type.String(),
  content: Type.Unknown(),
  status: Type.String(),
  createdAt: Type.String(),
  runId: Type.Optional(Type.String()),
  replaces: Type.Optional(Type.String()),
  usage: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.Unknown()),
  damaged: Type.Optional(Type.Literal(true)),
  inputs: Type.Optional(Type.Array(Type.Unknown())),
  parts: Type.Optional(Type.Array(Type.Unknown())),
  toolResults: Type.Optional(Type.Array(Type.Unknown())),
  toolCalls: Type.Optional(Type.Array(Type.Unknown())),
  toolCallId: Type.Optional(Type.String()),
});

/** `before` requests the next older page; absent on the oldest page. `lost`: the first and the last position of each
 *  lost part, each on one page; absent without any. */
const historySchema = Type.Unsafe<PageBody>(
  Type.Object({
    messages: Type.Array(messageSchema),
    position: Type.String(),
    before: Type.Optional(Type.String()),
    lost: Type.Optional(Type.Array(Type.Object({ from: Type.String(), to: Type.String() }))),
  }),
);

const sentSchema = Type.Object({
  messageId: Type.String(),
  runId: Type.String(),
  position: Type.String(),
  queued: Type.Integer(),
});

const tags = ['messages'];
const JSON_TYPE = 'application/json; charset=utf-8';

export function messagesRoutes(app: HttpApp, { sessionIds, sessions, commands, reads }: MessagesRoutesDeps): void {
  const url = '/v1/sessions/:sessionId/messages';

  app.get(
    url,
    {
      schema: {
        tags,
        params: sessionParams,
        querystring: historyQuery,
        response: { 200: historySchema, '4xx': errorSchema },
      },
      preHandler: reads.admit,
    },
    async (request, reply) => {
      const identity = identityOf(request);
      const ref = await sessionIds.find(identity, request.params.sessionId);
      const page = await reads.inTurn(identity.principal, () => readPage(sessions, identity, ref, request.query));
      return reply.type(JSON_TYPE).send(page);
    },
  );

  app.post(
    url,
    { schema: { tags, params: sessionParams, body: promptSchema, response: { 202: sentSchema, '4xx': errorSchema } } },
    async (request, reply) => {
      const trace = traceOfRequest(request.headers['traceparent']);
      const sent = await commands.send(identityOf(request), request.params.sessionId, request.body, trace);
      return reply.code(202).send(sent);
    },
  );

  app.patch(
    `${url}/:messageId`,
    { schema: { tags, params: messageParams, body: editSchema, response: { 204: Type.Null(), '4xx': errorSchema } } },
    async (request, reply) => {
      await commands.edit(identityOf(request), request.params.sessionId, request.params.messageId, request.body);
      return reply.code(204).send(null);
    },
  );

  app.delete(
    `${url}/:messageId`,
    { schema: { tags, params: messageParams, response: { 204: Type.Null(), '4xx': errorSchema } } },
    async (request, reply) => {
      await commands.withdraw(identityOf(request), request.params.sessionId, request.params.messageId);
      return reply.code(204).send(null);
    },
  );
}

async function readPage(
  sessions: Sessions,
  { principal }: Identity,
  ref: SessionRef,
  query: HistoryQuery,
): Promise<PageBody> {
  const { limit = HISTORY_LIMIT, before: text, branch } = query;
  const given = text === undefined ? 'latest' : parseGivenPosition(text);
  const end = typeof given === 'object' ? given : undefined;
  const { messages, through, before, lost, epoch } = await sessions.history(principal, ref, limit, end, branch);
  const at = (offset: number): string => encodePosition({ epoch, offset } satisfies Position);
  const position = at(Math.max(0, through));
  // No message is before the earliest position.
  if (given === 'earliest') return pageBody('messages', [], { position });
  const gaps = lost.map(({ from, to }) => ({ from: at(from), to: at(to) }));
  return pageBody('messages', messages, {
    position,
    ...(before === undefined ? {} : { before: at(before) }),
    ...(gaps.length === 0 ? {} : { lost: gaps }),
  });
}
