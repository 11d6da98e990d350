// /v1/sessions: creates, lists, describes, changes and removes sessions. [PROTOCOL §3]
import Type from 'typebox';
import { encodePosition } from '../../broker/position.ts';
import {
  encodePageEnd,
  PAGE_END_CHARS_MAX,
  pageOfChats,
  parsePageEnd,
  type PageEnd,
} from '../../session/stores/chat-pages.ts';
import { isDamage } from '../../session/commands/earlier-state.ts';
import { isSessionError } from '../../session/errors.ts';
import type { SessionSummary } from '../../session/session-summary.ts';
import type { SessionList, Sessions } from '../../session/sessions.ts';
import type { Identity } from '../auth/identity.ts';
import { idOf } from '../../session/session-ref.ts';
import { GatewayError } from '../gateway-error.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { freshId, newSession } from '../http/new-session.ts';
import type { PageReads } from '../http/page-reads.ts';
import type { Readiness } from '../readiness.ts';
import type { SessionIds } from '../http/session-ids.ts';
import { errorSchema, metadataSchema, newSessionFields, sessionIdSchema, sessionParams } from '../http/wire-schemas.ts';

export interface SessionsRoutesDeps {
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly newId: () => string;
  readonly reads: PageReads;
  readonly readiness: Readiness;
}

export const LIST_LIMIT = 50;
export const LIST_LIMIT_MAX = 100;

const createBody = Type.Object({ sessionId: Type.Optional(sessionIdSchema), ...newSessionFields });

const updateBody = Type.Object({
  title: newSessionFields.title,
  metadata: newSessionFields.metadata,
  ttlMs: newSessionFields.ttlMs,
});

const listQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT_MAX, default: LIST_LIMIT })),
  after: Type.Optional(Type.String({ maxLength: PAGE_END_CHARS_MAX, description: 'the `after` of the page before' })),
  page: Type.Optional(
    Type.Literal('0', { description: 'the first page, for older clients; pages behind it have no number' }),
  ),
});

interface ListBody {
  readonly sessions: readonly SessionSummary[];
  readonly more: boolean;
  /** Requests the next page; absent on the last page. */
  readonly after?: string;
  /** A record of the list is damaged, so chats may be missing. */
  readonly damaged?: true;
}

const createdSchema = Type.Object({ sessionId: Type.String(), position: Type.String() });

const summarySchema = Type.Unsafe<SessionSummary>(
  Type.Object({
    sessionId: Type.String(),
    title: Type.Optional(Type.String()),
    metadata: Type.Optional(metadataSchema),
    createdAt: Type.String(),
    lastActiveAt: Type.String(),
    expiresAt: Type.Optional(Type.String()),
    position: Type.String(),
    earliest: Type.String(),
    activeRun: Type.Optional(
      Type.Object({
        runId: Type.String(),
        position: Type.String(),
        state: Type.String(),
        inputs: Type.Optional(Type.Array(Type.String(), { description: 'of a waiting run: the open inputs' })),
      }),
    ),
    isListed: Type.Optional(Type.Literal(false)),
    queued: Type.Integer(),
    messages: Type.Integer(),
    damaged: Type.Optional(Type.Literal(true)),
  }),
);

const listSchema = Type.Unsafe<ListBody>(
  Type.Object({
    sessions: Type.Array(summarySchema),
    more: Type.Boolean(),
    after: Type.Optional(Type.String()),
    damaged: Type.Optional(Type.Literal(true)),
  }),
);

const tags = ['sessions'];

export function sessionsRoutes(app: HttpApp, deps: SessionsRoutesDeps): void {
  createRoute(app, deps);
  listRoute(app, deps);
  oneSessionRoutes(app, deps);
}

function createRoute(app: HttpApp, { sessionIds, sessions, newId, readiness }: SessionsRoutesDeps): void {
  app.post(
    '/v1/sessions',
    { schema: { tags, body: createBody, response: { 200: createdSchema, 201: createdSchema, '4xx': errorSchema } } },
    async (request, reply) => {
      readiness.mustNotDrain();
      const identity = identityOf(request);
      const { sessionId, ...details } = request.body;
      const session = newSession(details);
      const ref = await (sessionId === undefined
        ? sessionIds.make(identity, freshId(identity, newId))
        : sessionIds.findOrMake(identity, sessionId));
      const { created, position } = await sessions.create(identity.principal, ref, session);
      return reply.code(created ? 201 : 200).send({ sessionId: idOf(ref), position: encodePosition(position) });
    },
  );
}

function listRoute(app: HttpApp, { sessionIds, sessions, reads }: SessionsRoutesDeps): void {
  app.get(
    '/v1/sessions',
    {
      schema: { tags, querystring: listQuery, response: { 200: listSchema, '4xx': errorSchema } },
      preHandler: reads.admit,
    },
    async (request): Promise<ListBody> => {
      const { limit = LIST_LIMIT, after } = request.query;
      const pageEnd = after === undefined ? undefined : parsePageEnd(after);
      if (after !== undefined && pageEnd === undefined)
        throw new GatewayError('invalid-request', { message: 'after is not the `after` of a page of this list' });
      const identity = identityOf(request);
      const {
        sessions: listed,
        next,
        isDamaged,
      } = await reads.inTurn(identity.principal, () =>
        listSessions({ sessionIds, sessions }, identity, limit, pageEnd),
      );
      if (isDamaged) request.log.error('a record of a list of chats is damaged: the list is answered without it');
      return {
        sessions: listed,
        more: next !== undefined,
        ...(next === undefined ? {} : { after: encodePageEnd(next) }),
        ...(isDamaged ? { damaged: true } : {}),
      };
    },
  );
}

function oneSessionRoutes(app: HttpApp, { sessionIds, sessions }: SessionsRoutesDeps): void {
  app.get(
    '/v1/sessions/:sessionId',
    { schema: { tags, params: sessionParams, response: { 200: summarySchema, '4xx': errorSchema } } },
    async (request) => {
      const identity = identityOf(request);
      return sessions.describe(identity.principal, await sessionIds.find(identity, request.params.sessionId));
    },
  );

  app.patch(
    '/v1/sessions/:sessionId',
    {
      schema: {
        tags,
        params: sessionParams,
        body: updateBody,
        response: { 200: summarySchema, '4xx': errorSchema },
      },
    },
    async (request) => {
      const identity = identityOf(request);
      const ref = await sessionIds.find(identity, request.params.sessionId);
      const { title, metadata, ttlMs } = request.body;
      if (title === undefined && metadata === undefined && ttlMs === undefined)
        throw new GatewayError('invalid-request', { message: 'nothing to change: give title, metadata or ttlMs' });
      await sessions.update(identity.principal, ref, newSession(request.body));
      return sessions.describe(identity.principal, ref);
    },
  );

  app.delete(
    '/v1/sessions/:sessionId',
    { schema: { tags, params: sessionParams, response: { 204: Type.Null(), '4xx': errorSchema } } },
    async (request, reply) => {
      const identity = identityOf(request);
      await sessions.remove(identity.principal, await sessionIds.find(identity, request.params.sessionId));
      return reply.code(204).send(null);
    },
  );
}

type ListDeps = Pick<SessionsRoutesDeps, 'sessionIds' | 'sessions'>;

async function listSessions(
  deps: ListDeps,
  identity: Identity,
  limit: number,
  after: PageEnd | undefined,
): Promise<SessionList> {
  if (identity.sessions === undefined) return deps.sessions.list(identity.principal, limit, after);
  // A token for given sessions names them, so the list is not searched.
  const named = await Promise.all(
    [...identity.sessions].map(async (sessionId) => describeIfThere(deps, identity, sessionId)),
  );
  const found = named.flatMap((summary) => {
    if (summary === undefined || summary.isListed === false) return [];
    return [
      {
        sessionId: summary.sessionId,
        createdAt: Date.parse(summary.createdAt),
        lastActiveAt: Date.parse(summary.lastActiveAt),
        summary,
      },
    ];
  });
  const { chats, next } = pageOfChats(found, limit, after);
  return { sessions: chats.map(({ summary }) => summary), next, isDamaged: false };
}

async function describeIfThere(
  { sessionIds, sessions }: ListDeps,
  identity: Identity,
  sessionId: string,
): Promise<SessionSummary | undefined> {
  try {
    return await sessions.describe(identity.principal, await sessionIds.find(identity, sessionId));
  } catch (error) {
    // One chat of which nothing can be read must not make the whole list fail.
    if (isSessionError(error, 'not-found') || isDamage(error)) return undefined;
    throw error;
  }
}
