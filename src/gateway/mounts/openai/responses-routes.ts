// /openai/v1/responses: each response is a run of a chat, which continues whatever becomes of the request that began
// it.
import Type from 'typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isSessionError } from '../../../session/errors.ts';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { parseResponseId, type RunInSession } from '../../../wires/openai/ids.ts';
import { legState } from '../../../wires/openai/run-leg.ts';
import { outputItems } from '../../../wires/openai/responses/response-items.ts';
import { readResponseRequest, type ResponseRequest } from '../../../wires/openai/responses/response-request.ts';
import { heldRecords, LAST_FRAMES_RECORDS, responseWire } from '../../../wires/openai/responses/response-stream.ts';
import { responseOf, type ResponseObject } from '../../../wires/openai/responses/response.ts';
import type { Identity } from '../../auth/identity.ts';
import type { RunStart } from '../../event-streams.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import { Prompts, type PromptsDeps, type ReadyPrompt } from './prompts.ts';
import { mustFind, mustRead, refusal, sendError, SHOULD_RETRY } from './refusals.ts';
import { RunAnswers, runHeaders, type RunAnswersDeps } from './run-answers.ts';
import { WaitingAnswers } from './waiting-answers.ts';
import { StoredResponses, type StoredResponsesDeps } from './stored-responses.ts';

export type ResponsesRoutesDeps = StreamRoutesDeps & RunAnswersDeps & PromptsDeps & StoredResponsesDeps;

const MS_PER_DAY = 24 * 60 * 60 * 1_000;
/** Of a request that names no chat. */
const OWN_CHAT = { ttlMs: 30 * MS_PER_DAY, isListed: false } as const;
/** The same with `store: false`. */
const SHORT_CHAT = { ttlMs: 10 * 60 * 1_000, isListed: false } as const;

const URL = '/responses';
const params = Type.Object({ id: Type.String() });
const streamQuery = Type.Object({
  stream: Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')])),
  starting_after: Type.Optional(Type.Integer({ minimum: 0 })),
});

export function responsesRoutes(app: HttpApp, deps: ResponsesRoutesDeps): void {
  const answers = new RunAnswers(deps, responseWire.name);
  const prompts = new Prompts(deps);
  const waiting = new WaitingAnswers(deps, responseWire.name);

  app.post(URL, async (request, reply) => {
    const asked = mustRead(() => readResponseRequest(request.body));
    const prompt = waiting.orPrompt(request, asked, () => preparePrompt(deps, prompts, request, asked));
    if (asked.isStreamed) return streamNew(deps, request, reply, prompt);
    const run = await answers.send(request, reply, prompt);
    const view = await (asked.isBackground ? answers.readNow(request, run) : answers.readAtEnd(request, run));
    reply.removeHeader(SHOULD_RETRY);
    return objectOf(view, run);
  });

  app.get(`${URL}/:id`, { schema: { params, querystring: streamQuery } }, async (request, reply) => {
    const run = mustFind(parseResponseId(request.params.id));
    const { stream, starting_after: startingAfter } = request.query;
    if (stream === 'true') return streamAgain(deps, request, reply, { run, startingAfter });
    if (startingAfter !== undefined) throw refusal('starting_after', "'starting_after' is for a stream");
    await deps.reads.admit(request, reply);
    return reply.sent ? reply : objectOf(await answers.readLeg(request, run), run);
  });

  app.post(`${URL}/:id/cancel`, { schema: { params } }, async (request) => {
    const run = mustFind(parseResponseId(request.params.id));
    const { leg = 0 } = run;
    const now = await answers.readLeg(request, run);
    // The run has gone on: what the leg asked for is answered, and Stop is for the leg that follows.
    if (legState(now, leg) === 'asked' && !now.waitsBehind(leg)) return objectOf(now, run);
    await stop(deps, identityOf(request), run);
    return objectOf(await answers.readAtEnd(request, run), run);
  });

  storedRoutes(app, deps);
}

function storedRoutes(app: HttpApp, deps: ResponsesRoutesDeps): void {
  const stored = new StoredResponses(deps);

  app.get(`${URL}/:id/input_items`, { schema: { params }, preHandler: deps.reads.admit }, async (request) => {
    const run = mustFind(parseResponseId(request.params.id));
    return stored.inputItems(identityOf(request), run);
  });

  app.delete(`${URL}/:id`, { schema: { params } }, async (request, reply) => {
    const { id } = request.params;
    const run = mustFind(parseResponseId(id));
    // The run must be one of this chat.
    await stored.inputItems(identityOf(request), run);
    if (await stored.remove(identityOf(request), run)) return { id, object: 'response', deleted: true };
    const message = 'a chat keeps its answers: delete the conversation';
    return sendError(reply, { status: 409, code: 'response-in-conversation', message, retryable: false });
  });
}

function preparePrompt(
  { config }: ResponsesRoutesDeps,
  prompts: Prompts,
  request: FastifyRequest,
  { model = config.defaultAgent, isStored, ...asked }: ResponseRequest,
): ReadyPrompt {
  const ownChat = isStored ? OWN_CHAT : SHORT_CHAT;
  return prompts.prepare(request, identityOf(request), { ...asked, model, ownChat });
}

function objectOf(view: RunView, { sessionId, leg = 0 }: RunInSession): ResponseObject {
  return responseOf(view, sessionId, leg, outputItems(view, leg));
}

/** A run that has ended stays as it is. @throws SessionError not-found, run-not-found */
async function stop({ commands }: ResponsesRoutesDeps, identity: Identity, run: RunInSession): Promise<void> {
  try {
    await commands.cancel(identity, run.sessionId, run.runId);
  } catch (error) {
    if (!isSessionError(error, 'no-active-run')) throw error;
  }
}

async function streamNew(
  deps: ResponsesRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  prompt: ReadyPrompt,
): Promise<FastifyReply> {
  const prepare = async (identity: Identity): Promise<PreparedStream> => {
    const run = await prompt.send(reply);
    return prepared(run, await deps.streams.startAtRun(identity, run.sessionId, run.runId, { hasRoom: true }));
  };
  await openStream(deps, request, reply, {
    url: `/openai/v1${URL}`,
    wire: responseWire,
    // Only a ticket needs it.
    sessionId: '',
    ticket: undefined,
    prepare,
  });
  return reply;
}

interface Again {
  readonly run: RunInSession;
  readonly startingAfter: number | undefined;
}

async function streamAgain(
  deps: ResponsesRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  { run, startingAfter }: Again,
): Promise<FastifyReply> {
  const prepare = async (identity: Identity): Promise<PreparedStream> => {
    const start = await deps.streams.startAtRun(identity, run.sessionId, run.runId);
    if (startingAfter === undefined) return { ...prepared(run, start), isExact: true };
    const { next } = start.topicInfo;
    const held = start.answer.queuedAt + heldRecords(startingAfter);
    if (held >= next + LAST_FRAMES_RECORDS)
      throw refusal('starting_after', "'starting_after' is not a number of this stream");
    return { ...prepared(run, { ...start, isResuming: true }, startingAfter), cut: Math.min(held, next - 1) };
  };
  await openStream(deps, request, reply, {
    url: `/openai/v1${URL}/:id`,
    wire: responseWire,
    sessionId: run.sessionId,
    ticket: undefined,
    prepare,
  });
  return reply;
}

function prepared(run: RunInSession, start: RunStart, startingAfter?: number): PreparedStream {
  const { runId, sessionId, leg } = run;
  const projection = responseWire.project({ runId, after: undefined }, { sessionId, leg, startingAfter });
  return {
    start,
    encoder: new ProjectedEncoder(projection),
    headers: runHeaders(run),
    onReset: 'close',
    until: 'forever',
  };
}
