// The runs of a LangGraph thread: created, streamed, waited for, read and cancelled. A stream that breaks is resumed by
// the client itself: it requests the address in `Location` with the id of the last event.
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { traceOfRequest } from '../../../base/tracing.ts';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { isSessionError, SessionError } from '../../../session/errors.ts';
import { isAgent } from '../../../session/session-ref.ts';
import { isSettled } from '../../../stream/run/run-inputs.ts';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import { langGraphWire, parseEventId, type EventId } from '../../../wires/langgraph/langgraph.ts';
import { decodeLeg, encodeLeg, resumeAnswers } from '../../../wires/langgraph/interrupts.ts';
import { runResource } from '../../../wires/langgraph/resources.ts';
import {
  isFault,
  parseModes,
  parseRunRequest,
  type Fault,
  type RunRequest,
  type StreamMode,
} from '../../../wires/langgraph/run-request.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { freshId } from '../../http/new-session.ts';
import { promptSchema } from '../../http/wire-schemas.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import { refuse } from './refusals.ts';
import { join, waitForEnd, type JoinDeps, type RunName } from './run-join.ts';
import { readBefore, readLegs, readRun } from './thread-reads.ts';

export interface RunRoutesDeps extends JoinDeps, StreamRoutesDeps {
  readonly commands: ChatCommands;
  readonly newId: () => string;
}

/** In ms. A worker has less time than this to end a stopped run. */
const CANCEL_WAIT_MS = 5_000;

const runParams = Type.Object({ threadId: Type.String(), runId: Type.String() });
const STREAM = { isLast: true } as const;

export function runRoutes(mount: HttpApp, deps: RunRoutesDeps): void {
  createRoutes(mount, deps);
  const schema = { hide: true, params: runParams };
  mount.get('/threads/:threadId/runs/:runId', { schema }, async (request) => {
    return legResource(deps, runNameOf(request.params), request);
  });
  mount.get('/threads/:threadId/runs/:runId/join', { schema }, async (request, reply) =>
    join(deps, runNameOf(request.params), request, reply),
  );
  const streamQuery = Type.Object({
    stream_mode: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 16 })])),
  });
  mount.get(
    '/threads/:threadId/runs/:runId/stream',
    { schema: { ...schema, querystring: streamQuery }, config: STREAM },
    async (request, reply) => {
      const modes = mustBe(parseModes(request.query.stream_mode, ['messages-tuple', 'values']));
      const prepare = (identity: Identity): Promise<PreparedStream> =>
        prepareStream(deps, identity, runNameOf(request.params), modes, lastEventId(request));
      return stream(deps, request, reply, request.params.threadId, prepare);
    },
  );
  const cancelQuery = Type.Object({
    wait: Type.Optional(Type.String()),
    action: Type.Optional(Type.Literal('interrupt')),
  });
  mount.post(
    '/threads/:threadId/runs/:runId/cancel',
    { schema: { ...schema, querystring: cancelQuery } },
    async (request, reply) => {
      const hasEnded = await cancel(deps, runNameOf(request.params), request.query.wait === '1', request);
      return reply.code(hasEnded ? 204 : 202).send(null);
    },
  );
}

/** Each route with a thread in its path has a twin without one, whose run has a thread of its own. */
function createRoutes(mount: HttpApp, deps: RunRoutesDeps): void {
  for (const thread of ['/threads/:threadId', ''] as const) {
    mount.post(`${thread}/runs`, { schema: { hide: true } }, async (request, reply) => {
      const run = await send(deps, threadOf(request), mustBe(parseRunRequest(request.body)), request);
      reply.header('content-location', locationOf(run));
      return legResource(deps, run, request);
    });
    mount.post(`${thread}/runs/wait`, { schema: { hide: true } }, async (request, reply) => {
      const asked = mustBe(parseRunRequest(request.body));
      // A client that is refused for a limit has not sent its prompt, and may send it again.
      deps.runWaits.mustHaveRoom(request, identityOf(request));
      const run = await send(deps, threadOf(request), asked, request);
      reply.header('content-location', locationOf(run));
      return join(deps, run, request, reply);
    });
    mount.post(`${thread}/runs/stream`, { schema: { hide: true }, config: STREAM }, async (request, reply) => {
      const asked = mustBe(parseRunRequest(request.body));
      const prepare = async (identity: Identity): Promise<PreparedStream> =>
        prepareStream(
          deps,
          identity,
          await send(deps, threadOf(request), asked, request),
          asked.modes,
          undefined,
          true,
        );
      return stream(deps, request, reply, threadOf(request) ?? '', prepare);
    });
  }
}

/** @throws SessionError run-not-found */
function runNameOf({ threadId, runId: id }: { readonly threadId: string; readonly runId: string }): RunName {
  const leg = decodeLeg(id);
  if (leg === undefined) throw new SessionError('run-not-found');
  return { threadId, ...leg };
}

/** A leg as a run. Behind a wait, and before the next leg has begun, that leg is pending. */
async function legResource(
  deps: RunRoutesDeps,
  { threadId, ...asked }: RunName,
  request: FastifyRequest,
): Promise<JsonObject> {
  const identity = identityOf(request);
  const run = await readRun(deps, identity, threadId, asked.runId);
  const id = encodeLeg(asked);
  // A run that has ended without a wait has no other leg, and the status of its first one.
  if (run.endedAt !== undefined && run.waits === undefined && asked.leg === 0)
    return runResource(threadId, run, { id });
  const view = await readLegs(deps, identity, threadId, asked.runId, request);
  if (asked.leg > view.leg + 1 || (asked.leg > view.leg && view.inputs.every(({ leg }) => leg < view.leg)))
    throw new SessionError('run-not-found');
  if (asked.leg < view.leg) return runResource(threadId, run, { id, status: 'interrupted' });
  const isNext = asked.leg > view.leg && view.state === 'queued';
  const isLast = asked.leg === view.leg && view.state === 'queued' && view.inputs.some(({ leg }) => leg === view.leg);
  return runResource(threadId, run, {
    id,
    ...(isNext ? { status: 'pending' } : isLast ? { status: 'interrupted' } : {}),
  });
}

/** Undefined where the path has none. */
function threadOf({ params }: FastifyRequest): string | undefined {
  return (params as { readonly threadId?: string }).threadId;
}

const PROMPT = Compile(promptSchema);

/** A run without a thread is in no list, and its thread ends this long after it. Its client has the answer by then. In
 *  ms. */
export const OWN_THREAD_TTL_MS = 60 * 60 * 1000;
const OWN_THREAD = { ttlMs: OWN_THREAD_TTL_MS, isListed: false } as const;

/** `named`: undefined for a thread of its own. @throws GatewayError invalid-request, unknown-agent, unknown-model,
 *  forbidden; SessionError not-found */
async function send(
  deps: RunRoutesDeps,
  named: string | undefined,
  { assistantId, resume, messageId, content, model, onBusy, after, makesThread }: RunRequest,
  request: FastifyRequest,
): Promise<RunName> {
  const { commands, sessionIds, sessions, newId } = deps;
  if (!isAgent(assistantId)) throw new GatewayError('unknown-agent');
  if (resume !== undefined) return answer(deps, named, resume.value, request);
  if (named === undefined && after !== undefined) refuse('checkpoint', 'a run without a thread follows no checkpoint');
  const identity = identityOf(request);
  const prompt = {
    content,
    agent: assistantId,
    onBusy,
    ...(messageId === undefined ? {} : { messageId }),
    ...(model === undefined ? {} : { model }),
    ...(after === undefined ? {} : { after }),
  };
  if (!PROMPT.Check(prompt)) {
    const [fault] = PROMPT.Errors(prompt);
    const field = fault?.instancePath.split('/')[1] ?? 'content';
    refuse(FIELDS[field] ?? field, fault?.message ?? 'not valid');
  }
  const trace = traceOfRequest(request.headers['traceparent']);
  if (named === undefined) {
    const threadId = freshId(identity, newId);
    const { runId } = await commands.sendFirst(identity, threadId, { ...prompt, ...OWN_THREAD }, trace);
    return { threadId, runId, leg: 0 };
  }
  if (!makesThread) await sessions.authorize(identity.principal, await sessionIds.find(identity, named));
  const { runId } = await commands.send(identity, named, prompt, trace);
  return { threadId: named, runId, leg: 0 };
}

/** Answers what the run of a thread asks for. The next leg, or the same one while it asks for more. @throws
 *  GatewayError invalid-request; SessionError not-found, not-waiting, already-answered, invalid-answer */
async function answer(
  deps: RunRoutesDeps,
  threadId: string | undefined,
  value: unknown,
  request: FastifyRequest,
): Promise<RunName> {
  const identity = identityOf(request);
  if (threadId === undefined) refuse('command', 'a run without a thread resumes nothing');
  const open = await deps.commands.openInputs(identity, threadId);
  const ref = await deps.sessionIds.find(identity, threadId);
  const { state } = await deps.sessions.authorize(identity.principal, ref);
  const known = state.runs.flatMap(({ inputs = [] }) => inputs);
  const answers = resumeAnswers(value, known, open);
  if (answers === undefined && open.length === 0) throw new SessionError('not-waiting', { message: 'no run waits' });
  if (answers === undefined) refuse('command.resume', 'must name each interrupt that it answers');
  let runId = '';
  for (const { input, reply } of answers)
    ({ runId } = await deps.commands.answerInput(identity, threadId, input.inputId, reply));
  const { inputs } = await readLegs(deps, identity, threadId, runId, request);
  const named = new Set(answers.map(({ input }) => input.inputId));
  const leg = inputs.findLast((one) => named.has(one.request.inputId))?.leg ?? 0;
  const isOpen = inputs.some((one) => one.leg === leg && !isSettled(one));
  return { threadId, runId, leg: isOpen ? leg : leg + 1 };
}

const FIELDS: Readonly<Record<string, string>> = {
  content: 'input.messages',
  messageId: 'input.messages',
  model: 'config.configurable.model',
  after: 'checkpoint',
};

async function stream(
  deps: RunRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  threadId: string,
  prepare: (identity: Identity) => Promise<PreparedStream>,
): Promise<FastifyReply> {
  const url = request.routeOptions.url ?? '';
  await openStream(deps, request, reply, { url, wire: HEAD_WIRE, sessionId: threadId, ticket: undefined, prepare });
  return reply;
}

/** The wire as far as its connection needs it: all streams have the same head and the same heartbeat. */
const HEAD_WIRE = langGraphWire({ threadId: '', epoch: '', modes: [], before: [] });

/** `given`: the position up to which the reader holds everything. */
async function prepareStream(
  deps: RunRoutesDeps,
  identity: Identity,
  { threadId, runId, leg }: RunName,
  modes: readonly StreamMode[],
  given: string | undefined,
  hasRoom = false,
): Promise<PreparedStream> {
  const start = await deps.streams.startAtRun(identity, threadId, runId, { hasRoom });
  const { epoch } = start.after;
  const id = given === undefined ? undefined : mustBeIn(given, epoch, start.topicInfo.next);
  const after = id?.position.offset;
  const before = modes.includes('values') ? await readBefore(deps, identity, threadId, runId) : [];
  const query = modes.map((mode) => `stream_mode=${mode}`).join('&');
  const location = locationOf({ threadId, runId, leg });
  return {
    start: { ...start, isResuming: after !== undefined },
    encoder: new ProjectedEncoder(
      langGraphWire({ threadId, epoch, leg, modes, before, base: id?.base }).project({ runId, after }),
    ),
    cut: after,
    // Relative to the address that the client was given, so without the path of the mount.
    headers: { location: `${location}/stream?${query}`, 'content-location': location, 'x-run-id': runId },
    onReset: 'close',
    until: 'forever',
  };
}

function locationOf({ threadId, ...leg }: RunName): string {
  return `/threads/${threadId}/runs/${encodeLeg(leg)}`;
}

/** @throws GatewayError invalid-position */
function mustBeIn(given: string, epoch: string, next: number): EventId {
  const id = parseEventId(given);
  if (id === undefined || id.position.epoch !== epoch || id.position.offset >= next)
    throw new GatewayError('invalid-position', { message: 'Last-Event-ID: not an event of this thread' });
  return id;
}

/** The client sends -1 for the beginning. */
function lastEventId({ headers }: FastifyRequest): string | undefined {
  const given = headers['last-event-id'];
  return typeof given !== 'string' || given === '' || given === '-1' ? undefined : given;
}

/** True if the run has ended. @throws SessionError not-found, run-not-found, no-active-run */
async function cancel(deps: RunRoutesDeps, run: RunName, waits: boolean, request: FastifyRequest): Promise<boolean> {
  const identity = identityOf(request);
  try {
    await deps.commands.cancel(identity, run.threadId, run.runId);
  } catch (error) {
    // A run that never was is not found; one that has ended is a conflict.
    if (isSessionError(error, 'no-active-run')) await readRun(deps, identity, run.threadId, run.runId);
    throw error;
  }
  return waits && waitForEnd(deps, run, CANCEL_WAIT_MS, request);
}

/** @throws GatewayError invalid-request with the name of the field */
function mustBe<T extends object>(parsed: T | Fault): T {
  return isFault(parsed) ? refuse(parsed.param, parsed.reason) : parsed;
}
