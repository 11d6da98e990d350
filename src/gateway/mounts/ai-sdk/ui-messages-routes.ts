// GET /api/chat/{id}/messages: a page of the shown branch as UI messages, for the `messages` that a chat begins with.
import Type from 'typebox';
import { encodePosition } from '../../../broker/position.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { uiMessage } from '../../../wires/ai-sdk/ui-message.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import type { PageReads } from '../../http/page-reads.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import { parseGivenPosition } from '../../http/wire-position.ts';
import { positionSchema, sessionParams } from '../../http/wire-schemas.ts';
import { HISTORY_LIMIT, HISTORY_LIMIT_MAX } from '../../routes/messages.ts';

export interface UiMessagesDeps {
  readonly reads: PageReads;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

const querystring = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: HISTORY_LIMIT_MAX })),
  before: Type.Optional(positionSchema),
  metadata: Type.Optional(Type.Literal('1')),
});

/** The roles of a UI message. */
const ROLES: ReadonlySet<string> = new Set(['user', 'assistant', 'system']);

export function uiMessagesRoutes(app: HttpApp, { reads, sessionIds, sessions }: UiMessagesDeps): void {
  const schema = { params: sessionParams, querystring };
  app.get(
    '/:sessionId/messages',
    { schema, preHandler: reads.admit, exposeHeadRoute: false },
    async (request, reply) => {
      const { principal } = identityOf(request);
      const { sessionId } = request.params;
      const { limit = HISTORY_LIMIT, before: text, metadata } = request.query;
      const given = text === undefined ? 'latest' : parseGivenPosition(text);
      if (given === 'earliest') return reply.send([]);
      const end = typeof given === 'object' ? given : undefined;
      const ref = await sessionIds.find(identityOf(request), sessionId);
      const { messages, before, epoch } = await reads.inTurn(principal, () =>
        sessions.history(principal, ref, limit, end),
      );
      // The body is the list itself, so the next older page is named in a header.
      if (before !== undefined) reply.header('x-before', encodePosition({ epoch, offset: before }));
      const urlOf = (attachmentId: string): string => `/v1/sessions/${sessionId}/attachments/${attachmentId}`;
      return reply.send(
        messages.filter(({ role }) => ROLES.has(role)).map((one) => uiMessage(one, metadata === '1', urlOf)),
      );
    },
  );
}
