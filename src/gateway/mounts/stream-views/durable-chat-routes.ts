// POST /ds/chat and GET /ds/chat/{id}/stream: a prompt, and the answer that a page resumes, as on /api/chat. The reply
// names the stream of the answer. The client reads that URL without headers, so it has a capability for this answer.
import type { FastifyReply } from 'fastify';
import Type from 'typebox';
import { traceOfRequest } from '../../../base/tracing.ts';
import type { Clock } from '../../../base/clock.ts';
import type { Identity } from '../../auth/identity.ts';
import type { RunCapabilities } from '../../auth/run-capability.ts';
import type { EventStreams, RunStart } from '../../event-streams.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { sessionParams } from '../../http/wire-schemas.ts';
import { findAnswer, orNothing, type FindAnswerDeps } from '../ai-sdk/find-answer.ts';
import { chatBody, mustBeSubmission, submitEither, type SubmitDeps } from '../ai-sdk/submit.ts';

export interface DurableChatDeps extends SubmitDeps, FindAnswerDeps {
  readonly clock: Clock;
  readonly streams: EventStreams;
  readonly runCapabilities: RunCapabilities;
}

const flag = Type.Optional(Type.Literal('1'));
const flags = { metadata: flag, resetStep: flag };
const resumeQuery = Type.Object({ ...flags, have: Type.Optional(Type.String({ maxLength: 128 })) });

interface Flags {
  readonly metadata?: '1';
  readonly resetStep?: '1';
}

export function durableChatRoutes(app: HttpApp, deps: DurableChatDeps): void {
  const { streams } = deps;
  app.post('/', { schema: { body: chatBody, querystring: Type.Object(flags) } }, async (request, reply) => {
    const { body, query } = request;
    const identity = identityOf(request);
    const submission = mustBeSubmission(body);
    streams.mustHaveRoom(identity);
    const trace = traceOfRequest(request.headers['traceparent']);
    const { runId, answered } = await submitEither(deps, identity, body, submission, trace);
    const start = await streams.startAtRun(identity, body.id, runId, { hasRoom: true });
    // A reader that begins at the prompt receives every change as it comes. One that has answered continues behind it.
    const from = answered === undefined ? start.answer.queuedAt : start.topicInfo.next - 1;
    return sendStream(deps, reply.code(201), identity, body.id, { start, from, flags: query, answered });
  });

  app.get(
    '/:sessionId/stream',
    { schema: { params: sessionParams, querystring: resumeQuery }, exposeHeadRoute: false },
    async (request, reply) => {
      const { sessionId } = request.params;
      const identity = identityOf(request);
      const runId = await orNothing(() => findAnswer(deps, identity, sessionId, request.query.have));
      const start =
        runId === undefined ? undefined : await orNothing(() => streams.startAtRun(identity, sessionId, runId));
      // The client takes 204 for: there is nothing to resume.
      if (start === undefined) return reply.code(204).send();
      const from = start.topicInfo.next - 1;
      return sendStream(deps, reply.code(200), identity, sessionId, { start, from, flags: request.query });
    },
  );
}

interface NamedStream {
  readonly start: RunStart;
  readonly from: number;
  readonly flags: Flags;
  readonly answered?: readonly string[] | undefined;
}

function sendStream(
  { runCapabilities, clock }: DurableChatDeps,
  reply: FastifyReply,
  identity: Identity,
  sessionId: string,
  { start, from, flags: { metadata, resetStep }, answered }: NamedStream,
): FastifyReply {
  const { runId } = start.answer;
  const options = { hasMetadata: metadata === '1', canReset: resetStep === '1' };
  const { epoch } = start.after;
  const read = { sessionId, runId, epoch, from, options, answered };
  const capability = runCapabilities.issue(identity, read, clock.now());
  const streamUrl = `/ds/runs/${sessionId}/${runId}?cap=${capability}`;
  return reply
    .headers({ location: streamUrl, 'x-run-id': runId, 'cache-control': 'no-store' })
    .type('application/json; charset=utf-8')
    .send({ streamUrl });
}
