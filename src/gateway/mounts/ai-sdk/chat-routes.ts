// POST /api/chat, GET /api/chat/{id}/stream and POST /api/chat/{id}/stop. A closed connection stops no run.
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { traceOfRequest } from '../../../base/tracing.ts';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import { aiSdkWire, type ChunkOptions } from '../../../wires/ai-sdk/chunks.ts';
import type { Identity } from '../../auth/identity.ts';
import type { RunStart } from '../../event-streams.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { runIdSchema, sessionParams } from '../../http/wire-schemas.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import { findAnswer, orNothing, type FindAnswerDeps } from './find-answer.ts';
import { chatBody, mustBeSubmission, submitEither, type SubmitDeps } from './submit.ts';

export type ChatRoutesDeps = StreamRoutesDeps & SubmitDeps & FindAnswerDeps;

const flags = { data: Type.Optional(Type.Literal('1')), metadata: Type.Optional(Type.Literal('1')) };

const flagsQuery = Type.Object(flags);
const resumeQuery = Type.Object({ ...flags, have: Type.Optional(Type.String({ maxLength: 128 })) });
const stopBody = Type.Object({ runId: Type.Optional(runIdSchema) });

const SEND_URL = '/api/chat';
const RESUME_URL = '/api/chat/:sessionId/stream';
const config = { isLast: true };

export function chatRoutes(app: HttpApp, deps: ChatRoutesDeps): void {
  app.post('/', { schema: { body: chatBody, querystring: flagsQuery }, config }, async (request, reply) => {
    const { body, query } = request;
    const submission = mustBeSubmission(body);
    await stream(deps, request, reply, SEND_URL, body.id, async (identity) => {
      const trace = traceOfRequest(request.headers['traceparent']);
      const { runId, answered } = await submitEither(deps, identity, body, submission, trace);
      const start = await deps.streams.startAtRun(identity, body.id, runId, { hasRoom: true });
      return prepared(start, { ...optionsOf(query), answered });
    });
    return reply;
  });

  app.get(
    '/:sessionId/stream',
    { schema: { params: sessionParams, querystring: resumeQuery }, config, exposeHeadRoute: false },
    async (request, reply) => {
      const { sessionId } = request.params;
      const { have } = request.query;
      const identity = identityOf(request);
      const runId = await orNothing(() => findAnswer(deps, identity, sessionId, have));
      const start =
        runId === undefined ? undefined : await orNothing(() => deps.streams.startAtRun(identity, sessionId, runId));
      // The client takes 204 for: there is nothing to resume.
      if (start === undefined) return reply.code(204).send();
      await stream(deps, request, reply, RESUME_URL, sessionId, async () => prepared(start, optionsOf(request.query)));
      return reply;
    },
  );

  app.post('/:sessionId/stop', { schema: { params: sessionParams, body: stopBody } }, async (request, reply) => {
    const stopped = await deps.commands.cancel(identityOf(request), request.params.sessionId, request.body.runId);
    return reply.code(202).send(stopped);
  });
}

async function stream(
  deps: ChatRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  url: string,
  sessionId: string,
  prepare: (identity: Identity) => Promise<PreparedStream>,
): Promise<void> {
  await openStream(deps, request, reply, { url, wire: aiSdkWire, sessionId, ticket: undefined, prepare });
}

function prepared(start: RunStart, options: ChunkOptions): PreparedStream {
  const { runId } = start.answer;
  return {
    start,
    encoder: new ProjectedEncoder(aiSdkWire.project({ runId, after: undefined }, options)),
    headers: { 'x-run-id': runId },
    onReset: 'close',
    until: 'forever',
  };
}

function optionsOf({ data, metadata }: { readonly data?: '1'; readonly metadata?: '1' }): ChunkOptions {
  return { hasData: data === '1', hasMetadata: metadata === '1' };
}
