// /openai/v1/agents/sessions/{id}/events: what clients send to a session, and the stream of its events.
import Type from 'typebox';
import type { FastifyRequest } from 'fastify';
import { encodePosition } from '../../../../broker/position.ts';
import { isBrokerError } from '../../../../broker/errors.ts';
import type { SessionRef } from '../../../../session/session-ref.ts';
import { ProjectedEncoder } from '../../../../stream/projected-encoder.ts';
import { parseEventId, type EventId } from '../../../../wires/openai/agents/event-id.ts';
import { readInputEvents } from '../../../../wires/openai/agents/input-events.ts';
import { agentsWire, heldOffset } from '../../../../wires/openai/agents/session-stream.ts';
import type { Identity } from '../../../auth/identity.ts';
import type { HttpApp } from '../../../http/http-app.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from '../../../routes/open-stream.ts';
import { mustRead, refusal, SHOULD_RETRY } from '../refusals.ts';
import { AgentSessions, type AgentSessionsDeps } from './agent-sessions.ts';
import { SessionInput, type SessionInputDeps } from './session-input.ts';

export type AgentEventsRoutesDeps = StreamRoutesDeps & AgentSessionsDeps & SessionInputDeps;

const URL = '/agents/sessions/:sessionId/events';
const params = Type.Object({ sessionId: Type.String() });
const streamQuery = Type.Object({ after: Type.Optional(Type.String({ maxLength: 128 })) });

export function agentEventsRoutes(app: HttpApp, deps: AgentEventsRoutesDeps): void {
  const input = new SessionInput(deps);

  app.post(URL, { schema: { params } }, async (request, reply) => {
    const events = mustRead(() => readInputEvents(request.body));
    const { sessionId } = request.params;
    await input.take({ request, reply, sessionId }, events);
    reply.removeHeader(SHOULD_RETRY);
    return reply.code(202).send();
  });

  app.get(URL, { schema: { params, querystring: streamQuery } }, async (request, reply) => {
    const { sessionId } = request.params;
    const after = lastEventId(request) ?? request.query.after;
    await openStream(deps, request, reply, {
      url: `/openai/v1${URL}`,
      wire: agentsWire,
      sessionId,
      ticket: undefined,
      prepare: async (identity) => prepareStream(deps, identity, sessionId, after),
    });
    return reply;
  });
}

function lastEventId({ headers }: FastifyRequest): string | undefined {
  const given = headers['last-event-id'];
  return typeof given === 'string' && given !== '' ? given : undefined;
}

/** A session without a turn tells nothing of its past: the client takes the first turn that it is sent for its own. A
 *  session with a turn tells that turn from its beginning. A reader that comes back receives the rest. */
async function prepareStream(
  deps: AgentEventsRoutesDeps,
  identity: Identity,
  sessionId: string,
  given: string | undefined,
): Promise<PreparedStream> {
  const { sessions, sessionIds } = deps;
  const ref = await sessionIds.find(identity, sessionId);
  const { epoch, at, state } = await sessions.authorize(identity.principal, ref);
  const held = given === undefined ? undefined : mustBeIn(given, epoch);
  const from =
    held === undefined
      ? state.runs.reduce((first, { queuedAt }) => Math.min(first, queuedAt), at + 1)
      : await startOfTurns(deps, identity, ref, held);
  const position = from === 0 ? 'earliest' : encodePosition({ epoch, offset: from - 1 });
  const start = await deps.streams.start(identity, sessionId, { after: position, cursor: undefined });
  if (held !== undefined && held.offset >= (start.topicInfo?.next ?? 0)) throw notHere();
  const session = await new AgentSessions(deps).facts(identity, sessionId);
  const projection = agentsWire.project({ runId: '', after: undefined }, { epoch, session, after: held });
  return {
    start: { ...start, isResuming: held !== undefined },
    encoder: new ProjectedEncoder(projection),
    ...(held === undefined ? {} : { cut: heldOffset(held) }),
    onReset: 'close',
    until: 'forever',
  };
}

async function startOfTurns(
  { sessions }: AgentEventsRoutesDeps,
  identity: Identity,
  ref: SessionRef,
  held: EventId,
): Promise<number> {
  try {
    return await sessions.startOfOpenRuns(identity.principal, ref, held);
  } catch (error) {
    if (isBrokerError(error, 'epoch-changed')) throw notHere();
    throw error;
  }
}

function mustBeIn(given: string, epoch: string): EventId {
  const id = parseEventId(given);
  if (id === undefined || id.epoch !== epoch) throw notHere();
  return id;
}

function notHere(): Error {
  return refusal('after', 'the id is of no event of this session');
}
