// /openai/v1/agents/sessions/{id}: the items and the turns of a session.
import Type from 'typebox';
import { SessionError } from '../../../../session/errors.ts';
import type { RunTimeline } from '../../../../session/history/run-timeline.ts';
import type { Sessions } from '../../../../session/sessions.ts';
import { agentItems } from '../../../../wires/openai/agents/agent-items.ts';
import { turnOf, type TurnObject } from '../../../../wires/openai/agents/turn.ts';
import type { Identity } from '../../../auth/identity.ts';
import type { EventStreams } from '../../../event-streams.ts';
import { identityOf, type HttpApp } from '../../../http/http-app.ts';
import type { PageReads } from '../../../http/page-reads.ts';
import type { SessionIds } from '../../../http/session-ids.ts';
import { ItemLists } from '../item-lists.ts';
import { listBody, listPage, listQuery, takePage, type Listed, type ListPage } from '../list-pages.ts';
import { refusal } from '../refusals.ts';

export interface AgentListsRoutesDeps {
  readonly reads: PageReads;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly streams: EventStreams;
}

const URL = '/agents/sessions/:sessionId';
const params = Type.Object({ sessionId: Type.String() });
const turnParams = Type.Object({ sessionId: Type.String(), runId: Type.String() });
/** Turns that are read together. */
const TURNS_AT_ONCE = 50;

export function agentListsRoutes(app: HttpApp, deps: AgentListsRoutesDeps): void {
  const items = new ItemLists(deps, agentItems);
  const page = { querystring: listQuery };
  const preHandler = deps.reads.admit;

  app.get(`${URL}/items`, { schema: { params, ...page }, preHandler }, async (request) =>
    listBody(await items.list(identityOf(request), request.params.sessionId, listPage(request.query))),
  );

  app.get(`${URL}/turns`, { schema: { params, ...page }, preHandler }, async (request) =>
    listBody(await listTurns(deps, identityOf(request), request.params.sessionId, listPage(request.query))),
  );

  app.get(`${URL}/turns/:runId`, { schema: { params: turnParams } }, async (request) => {
    const { sessionId, runId } = request.params;
    return readTurn(deps, identityOf(request), sessionId, runId);
  });

  app.get(`${URL}/turns/:runId/items`, { schema: { params: turnParams, ...page }, preHandler }, async (request) => {
    const { sessionId, runId } = request.params;
    const all = await items.ofRun(identityOf(request), sessionId, runId);
    return listBody(await takePage(newestFirst(all), listPage(request.query)));
  });
}

async function* newestFirst<T>(oldestFirst: readonly T[]): AsyncGenerator<T> {
  yield* oldestFirst.toReversed();
}

async function listTurns(
  deps: AgentListsRoutesDeps,
  identity: Identity,
  sessionId: string,
  page: ListPage,
): Promise<Listed<TurnObject>> {
  const { reads, sessionIds, streams } = deps;
  const { after, order } = page;
  await sessionIds.find(identity, sessionId);
  const isFar = after !== undefined && order === 'desc';
  const from = isFar ? await findTurn(streams, identity, sessionId, after) : undefined;
  return reads.inTurn(identity.principal, async () =>
    takePage(turnsNewestFirst(deps, identity, sessionId, from), page),
  );
}

/** The position behind the `run.queued` of a run. */
async function findTurn(
  streams: EventStreams,
  identity: Identity,
  sessionId: string,
  runId: string,
): Promise<{ readonly epoch: string; readonly offset: number }> {
  try {
    const { after, answer } = await streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
    return { epoch: after.epoch, offset: answer.queuedAt + 1 };
  } catch (error) {
    if (error instanceof SessionError && error.code === 'run-not-found')
      throw refusal('after', "'after' is no turn of this session");
    throw error;
  }
}

async function* turnsNewestFirst(
  { sessions, sessionIds }: AgentListsRoutesDeps,
  identity: Identity,
  sessionId: string,
  from: { readonly epoch: string; readonly offset: number } | undefined,
): AsyncGenerator<TurnObject> {
  const ref = await sessionIds.find(identity, sessionId);
  let before = from;
  do {
    const page = await sessions.runs(identity.principal, ref, TURNS_AT_ONCE, before);
    for (const run of page.runs) yield turnOfTimeline(sessionId, run);
    before = page.before === undefined ? undefined : { epoch: page.epoch, offset: page.before };
  } while (before !== undefined);
}

/** @throws SessionError not-found, run-not-found */
async function readTurn(
  { sessions, streams }: AgentListsRoutesDeps,
  identity: Identity,
  sessionId: string,
  runId: string,
): Promise<TurnObject> {
  const { ref, after, answer } = await streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
  const behind = { epoch: after.epoch, offset: answer.queuedAt + 1 };
  const { runs } = await sessions.runs(identity.principal, ref, 1, behind);
  const [run] = runs;
  if (run?.runId !== runId) throw new SessionError('run-not-found');
  return turnOfTimeline(sessionId, run);
}

function turnOfTimeline(sessionId: string, run: RunTimeline): TurnObject {
  const startedAt = run.attempts[0]?.startedAt;
  return turnOf(sessionId, { ...run, createdAt: run.queuedAt, ...(startedAt === undefined ? {} : { startedAt }) });
}
