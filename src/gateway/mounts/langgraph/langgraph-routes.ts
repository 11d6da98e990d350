// The LangGraph API below /langgraph: threads are sessions, assistants are agents. This file has the threads, and the
// shape of all errors; runs and lists are in files of their own. [wires/langgraph]
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { idOf, isSessionId } from '../../../session/session-ref.ts';
import { isObject } from '../../../wires/langgraph/run-request.ts';
import { stateResource, threadResource } from '../../../wires/langgraph/resources.ts';
import type { Identity } from '../../auth/identity.ts';
import type { MappedError } from '../../error-map.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { freshId, newSession } from '../../http/new-session.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { refuse } from './refusals.ts';
import { runListRoute } from './run-list.ts';
import { runRoutes, type RunRoutesDeps } from './run-routes.ts';
import { parseHistory, readHistory } from './thread-history.ts';
import { readThread } from './thread-reads.ts';
import { searchRoutes } from './thread-search.ts';

export type LangGraphDeps = RunRoutesDeps & MountDeps;

export async function mountLangGraph(app: HttpApp, deps: LangGraphDeps): Promise<void> {
  await mountWire(app, deps, { prefix: '/langgraph', acceptsApiKey: true, sendError }, (mount) => {
    threadRoutes(mount, deps);
    searchRoutes(mount, deps);
    runRoutes(mount, deps);
    runListRoute(mount, deps);
  });
}

/** Codes whose status differs from that of the native protocol. */
const STATUSES: Readonly<Record<string, number>> = { 'unknown-agent': 404, 'unknown-model': 404 };

function sendError({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { code, message, details } = error;
  return reply
    .code(STATUSES[code] ?? status)
    .type('application/json; charset=utf-8')
    .send({ detail: message, code, ...(details === undefined ? {} : { details }) });
}

const params = Type.Object({ threadId: Type.String() });

function threadRoutes(mount: HttpApp, deps: LangGraphDeps): void {
  const { reads, readiness } = deps;
  mount.post('/threads', { schema: { hide: true } }, async (request, reply) => {
    readiness.mustNotDrain();
    const identity = identityOf(request);
    const { threadId, isFound } = await createThread(deps, identity, request.body);
    if (isFound)
      return reply.code(409).send({ detail: 'the thread exists already: give if_exists "do_nothing"', code: 'exists' });
    return threadResource(await readThread(deps, identity, threadId));
  });
  const schema = { hide: true, params };
  mount.get('/threads/:threadId', { schema, preHandler: reads.admit }, async (request) =>
    threadResource(await readThread(deps, identityOf(request), request.params.threadId)),
  );
  mount.get('/threads/:threadId/state', { schema, preHandler: reads.admit }, async (request) =>
    stateResource(await readThread(deps, identityOf(request), request.params.threadId)),
  );
  mount.post('/threads/:threadId/history', { schema, preHandler: reads.admit }, async (request) =>
    readHistory(deps, identityOf(request), request.params.threadId, parseHistory(request.body)),
  );
  mount.get('/threads/:threadId/history', { schema, preHandler: reads.admit }, async (request) =>
    readHistory(deps, identityOf(request), request.params.threadId, parseHistory(request.query)),
  );
  changeRoutes(mount, deps);
}

function changeRoutes(mount: HttpApp, deps: LangGraphDeps): void {
  const { reads, sessions, sessionIds } = deps;
  const schema = { hide: true, params };
  mount.patch('/threads/:threadId', { schema, preHandler: reads.admit }, async (request) => {
    const identity = identityOf(request);
    const { threadId } = request.params;
    const { metadata, ttl } = isObject(request.body) ? request.body : {};
    const ref = await sessionIds.find(identity, threadId);
    const { metadata: before = {} } = await sessions.describe(identity.principal, ref);
    const added = metadataOf(metadata);
    const details = { ...(added === undefined ? {} : { metadata: { ...before, ...added } }), ...ttlOf(ttl) };
    await sessions.update(identity.principal, ref, newSession(details));
    return threadResource(await readThread(deps, identity, threadId));
  });
  mount.delete('/threads/:threadId', { schema }, async (request, reply) => {
    const identity = identityOf(request);
    await sessions.remove(identity.principal, await sessionIds.find(identity, request.params.threadId));
    return reply.code(204).send(null);
  });
}

/** Undefined: none is given. @throws GatewayError invalid-request */
function metadataOf(metadata: unknown): JsonObject | undefined {
  if (metadata === undefined || metadata === null) return undefined;
  return isObject(metadata) ? metadata : refuse('metadata', 'must be an object');
}

/** A ttl of the LangGraph API is in minutes. */
const MINUTE_MS = 60_000;

/** `isFound`: the caller has the thread already and did not accept that.
 *  @throws GatewayError invalid-request, forbidden, too-large; SessionError not-found, too-many-sessions */
async function createThread(
  { sessionIds, sessions, newId }: LangGraphDeps,
  identity: Identity,
  body: unknown,
): Promise<{ readonly threadId: string; readonly isFound: boolean }> {
  const { thread_id: given, metadata, if_exists: ifExists, ttl, supersteps } = isObject(body) ? body : {};
  if (given !== undefined && given !== null && (typeof given !== 'string' || !isSessionId(given)))
    refuse('thread_id', 'must be [A-Za-z0-9_-]{1,128}');
  if (ifExists !== undefined && ifExists !== null && ifExists !== 'raise' && ifExists !== 'do_nothing')
    refuse('if_exists', 'must be raise or do_nothing');
  if (Array.isArray(supersteps) && supersteps.length > 0) refuse('supersteps', 'not supported');
  const labels = metadataOf(metadata) ?? {};
  const ref = await (typeof given === 'string'
    ? sessionIds.findOrMake(identity, given)
    : sessionIds.make(identity, freshId(identity, newId)));
  const session = newSession({ ...(Object.keys(labels).length === 0 ? {} : { metadata: labels }), ...ttlOf(ttl) });
  const { created } = await sessions.create(identity.principal, ref, session);
  return { threadId: idOf(ref), isFound: !created && ifExists !== 'do_nothing' };
}

function ttlOf(ttl: unknown): { readonly ttlMs?: number } {
  if (ttl === undefined || ttl === null) return {};
  const { ttl: minutes, strategy = 'delete' } = isObject(ttl) ? ttl : { ttl };
  if (typeof minutes !== 'number' || !(minutes > 0)) refuse('ttl', 'must be a number of minutes');
  if (strategy !== 'delete') refuse('ttl.strategy', 'must be delete');
  return { ttlMs: Math.round(minutes * MINUTE_MS) };
}
