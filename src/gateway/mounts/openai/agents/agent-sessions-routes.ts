// /openai/v1/agents/sessions: makes, lists, describes, changes and removes Agents sessions. A session is a chat, and
// its first prompt makes it.
import Type from 'typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProjectedEncoder } from '../../../../stream/projected-encoder.ts';
import { readNewSession, readSessionUpdate } from '../../../../wires/openai/agents/session-request.ts';
import { agentsWire } from '../../../../wires/openai/agents/session-stream.ts';
import { requireWrite, type Identity } from '../../../auth/identity.ts';
import { identityOf, type HttpApp } from '../../../http/http-app.ts';
import { newSession } from '../../../http/new-session.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from '../../../routes/open-stream.ts';
import { listBody, listPage, listQuery } from '../list-pages.ts';
import { Prompts, type PromptsDeps, type ReadyPrompt } from '../prompts.ts';
import { mustRead, refusal, SHOULD_RETRY } from '../refusals.ts';
import { AgentSessions, type AgentSessionsDeps } from './agent-sessions.ts';

export type AgentSessionsRoutesDeps = StreamRoutesDeps & PromptsDeps & AgentSessionsDeps;

const URL = '/agents/sessions';
const params = Type.Object({ sessionId: Type.String() });
/** Filters that are not supported, beside those of metadata. */
const FILTERS: readonly string[] = ['agent_id'];

export function agentSessionsRoutes(app: HttpApp, deps: AgentSessionsRoutesDeps): void {
  const agentSessions = new AgentSessions(deps);
  const prompts = new Prompts(deps);

  app.post(URL, async (request, reply) => {
    const { model, options, content, metadata, isStreamed } = mustRead(() => readNewSession(request.body));
    const identity = identityOf(request);
    const prompt = prompts.prepare(request, identity, {
      model,
      conversation: { history: [], prompt: { content } },
      options,
      sessionId: undefined,
      ownChat: metadata === undefined ? {} : { metadata },
    });
    if (isStreamed) return streamNew(deps, agentSessions, request, reply, prompt);
    const { sessionId } = await prompt.send(reply);
    const session = await agentSessions.get(request, sessionId);
    reply.removeHeader(SHOULD_RETRY);
    return session;
  });

  app.get(URL, { schema: { querystring: listQuery }, preHandler: deps.reads.admit }, async (request) => {
    const filter = Object.keys(request.query).find((name) => name.startsWith('metadata') || FILTERS.includes(name));
    if (filter !== undefined) throw refusal(filter, `'${filter}' is not supported`);
    const { sessions, hasMore } = await agentSessions.list(request, listPage(request.query));
    return listBody({ data: sessions, hasMore });
  });

  oneSessionRoutes(app, deps, agentSessions);
}

function oneSessionRoutes(
  app: HttpApp,
  { sessions, sessionIds }: AgentSessionsRoutesDeps,
  agentSessions: AgentSessions,
): void {
  app.get(`${URL}/:sessionId`, { schema: { params } }, async (request) =>
    agentSessions.get(request, request.params.sessionId),
  );

  app.post(`${URL}/:sessionId`, { schema: { params } }, async (request) => {
    const metadata = mustRead(() => readSessionUpdate(request.body));
    const identity = identityOf(request);
    requireWrite(identity);
    const { sessionId } = request.params;
    await sessions.update(identity.principal, await sessionIds.find(identity, sessionId), newSession({ metadata }));
    return agentSessions.get(request, sessionId);
  });

  app.delete(`${URL}/:sessionId`, { schema: { params } }, async (request) => {
    const identity = identityOf(request);
    requireWrite(identity);
    const { sessionId: id } = request.params;
    await sessions.remove(identity.principal, await sessionIds.find(identity, id));
    return { id, object: 'agent.session.deleted', deleted: true };
  });
}

/** The stream of a new session begins with the session itself. */
async function streamNew(
  deps: AgentSessionsRoutesDeps,
  agentSessions: AgentSessions,
  request: FastifyRequest,
  reply: FastifyReply,
  prompt: ReadyPrompt,
): Promise<FastifyReply> {
  const prepare = async (identity: Identity): Promise<PreparedStream> => {
    const { runId, sessionId } = await prompt.send(reply);
    const start = await deps.streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
    const session = await agentSessions.facts(identity, sessionId);
    const stream = { epoch: start.after.epoch, session, after: undefined };
    return {
      start: { ...start, after: undefined },
      encoder: new ProjectedEncoder(agentsWire.project({ runId, after: undefined }, stream)),
      headers: { 'x-session-id': sessionId },
      onReset: 'close',
      until: 'forever',
    };
  };
  await openStream(deps, request, reply, {
    url: `/openai/v1${URL}`,
    wire: agentsWire,
    // Only a ticket needs it.
    sessionId: '',
    ticket: undefined,
    prepare,
  });
  return reply;
}
