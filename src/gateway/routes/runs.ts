// GET /v1/sessions/{id}/runs: the state and the times of each run. [PROTOCOL §3]
import Type from 'typebox';
import { encodePosition } from '../../broker/position.ts';
import type { RunTimeline } from '../../session/history/run-timeline.ts';
import type { Sessions } from '../../session/sessions.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import type { PageReads } from '../http/page-reads.ts';
import type { SessionIds } from '../http/session-ids.ts';
import { parseGivenPosition } from '../http/wire-position.ts';
import { errorSchema, positionSchema, sessionParams } from '../http/wire-schemas.ts';

export const RUNS_LIMIT = 20;
export const RUNS_LIMIT_MAX = 100;

const runsQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: RUNS_LIMIT_MAX, default: RUNS_LIMIT })),
  before: Type.Optional(positionSchema),
});

const timeSchema = Type.String({ format: 'date-time' });

const runSchema = Type.Object({
  runId: Type.String(),
  messageId: Type.String({ description: 'of the prompt' }),
  agent: Type.String(),
  model: Type.String(),
  state: Type.String({
    description: '`queued`, `running`, `waiting`, `cancelling`, `completed`, `failed` or `cancelled`',
  }),
  queuedAt: timeSchema,
  attempts: Type.Array(Type.Object({ attempt: Type.Integer(), startedAt: timeSchema })),
  waits: Type.Optional(
    Type.Array(
      Type.Object({
        inputs: Type.Array(Type.String()),
        waitingAt: timeSchema,
        expiresAt: timeSchema,
        resumedAt: Type.Optional(timeSchema),
      }),
    ),
  ),
  cancellingAt: Type.Optional(timeSchema),
  firstTokenAt: Type.Optional(timeSchema),
  deltas: Type.Optional(Type.Integer()),
  endedAt: Type.Optional(timeSchema),
  finishReason: Type.Optional(Type.String()),
  usage: Type.Optional(Type.Object({ inputTokens: Type.Integer(), outputTokens: Type.Integer() })),
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String(), retryable: Type.Boolean() })),
  waitedMs: Type.Optional(Type.Integer()),
  firstTokenMs: Type.Optional(Type.Integer()),
  durationMs: Type.Optional(Type.Integer()),
  cancelMs: Type.Optional(Type.Integer()),
  tokensPerSecond: Type.Optional(Type.Number()),
  deltasPerSecond: Type.Optional(Type.Number()),
});

/** `before` requests the next older page; absent on the oldest page. */
interface RunsBody {
  readonly runs: readonly RunTimeline[];
  readonly before?: string;
}

const runsSchema = Type.Unsafe<RunsBody>(
  Type.Object({ runs: Type.Array(runSchema), before: Type.Optional(Type.String()) }),
);

export function runsRoutes(
  app: HttpApp,
  {
    sessionIds,
    sessions,
    reads,
  }: { readonly sessionIds: SessionIds; readonly sessions: Sessions; readonly reads: PageReads },
): void {
  const schema = {
    tags: ['runs'],
    params: sessionParams,
    querystring: runsQuery,
    response: { 200: runsSchema, '4xx': errorSchema },
  };
  app.get('/v1/sessions/:sessionId/runs', { schema, preHandler: reads.admit }, async (request) => {
    const identity = identityOf(request);
    const { limit = RUNS_LIMIT, before } = request.query;
    const given = before === undefined ? 'latest' : parseGivenPosition(before);
    const end = typeof given === 'object' ? given : undefined;
    const ref = await sessionIds.find(identity, request.params.sessionId);
    const page = await reads.inTurn(identity.principal, () => sessions.runs(identity.principal, ref, limit, end));
    // No run is before the earliest position.
    if (given === 'earliest') return { runs: [] };
    return {
      runs: page.runs,
      ...(page.before === undefined ? {} : { before: encodePosition({ epoch: page.epoch, offset: page.before }) }),
    };
  });
}
