// POST /openai/v1/chat/completions, and GET of a completion by its id. Each request is a prompt: of the chat that the
// header `x-session-id` names, or of a chat of its own, which is in no list and ends an hour later.
import Type from 'typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { readCompletionRequest, type CompletionRequest } from '../../../wires/openai/completions/completion-request.ts';
import { completionWire } from '../../../wires/openai/completions/completion-stream.ts';
import { approvalError, completionOf, needsApproval } from '../../../wires/openai/completions/completion.ts';
import { parseCompletionId, type RunInSession } from '../../../wires/openai/ids.ts';
import { legState } from '../../../wires/openai/run-leg.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import type { PageReads } from '../../http/page-reads.ts';
import { openStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import { Prompts, type PromptsDeps, type ReadyPrompt } from './prompts.ts';
import { mustFind, mustRead, sendError, SHOULD_RETRY } from './refusals.ts';
import { RunAnswers, runHeaders, type RunAnswersDeps } from './run-answers.ts';
import { WaitingAnswers } from './waiting-answers.ts';

export type CompletionsRoutesDeps = StreamRoutesDeps & RunAnswersDeps & PromptsDeps & { readonly reads: PageReads };

/** Of a request that names no chat. */
const OWN_CHAT = { ttlMs: 60 * 60 * 1_000, isListed: false } as const;

const URL = '/chat/completions';

export function completionsRoutes(app: HttpApp, deps: CompletionsRoutesDeps): void {
  const answers = new RunAnswers(deps, completionWire.name);
  const prompts = new Prompts(deps);
  const waiting = new WaitingAnswers(deps, completionWire.name);

  app.post(URL, async (request, reply) => {
    const asked = mustRead(() => readCompletionRequest(request.body));
    const { model, conversation, options } = asked;
    const sessionId = sessionIdOf(request);
    const prompt = waiting.orPrompt(request, { sessionId, conversation }, () =>
      prompts.prepare(request, identityOf(request), {
        model,
        // The log has the messages before the prompt.
        conversation: sessionId === undefined ? conversation : { ...conversation, history: [] },
        options,
        sessionId,
        ownChat: OWN_CHAT,
      }),
    );
    if (asked.isStreamed) return stream(deps, request, reply, prompt, asked);
    const run = await answers.send(request, reply, prompt);
    return sendCompletion(reply, await answers.readAtEnd(request, run), run);
  });

  const params = Type.Object({ id: Type.String() });
  app.get(`${URL}/:id`, { schema: { params }, preHandler: deps.reads.admit }, async (request, reply) => {
    const run = mustFind(parseCompletionId(request.params.id));
    return sendCompletion(reply, await answers.readLeg(request, run), run);
  });
}

function sessionIdOf(request: FastifyRequest): string | undefined {
  const given = request.headers['x-session-id'];
  return typeof given === 'string' ? given : undefined;
}

async function stream(
  deps: CompletionsRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  prompt: ReadyPrompt,
  { includesUsage }: CompletionRequest,
): Promise<FastifyReply> {
  await openStream(deps, request, reply, {
    url: `/openai/v1${URL}`,
    wire: completionWire,
    // Only a ticket needs it.
    sessionId: '',
    ticket: undefined,
    prepare: async (identity) => {
      const run = await prompt.send(reply);
      const { runId, sessionId, leg } = run;
      return {
        start: await deps.streams.startAtRun(identity, sessionId, runId, { hasRoom: true }),
        encoder: new ProjectedEncoder(
          completionWire.project({ runId, after: undefined }, { sessionId, leg, includesUsage }),
        ),
        headers: runHeaders(run),
        onReset: 'close',
        until: 'forever',
      };
    },
  });
  return reply;
}

function sendCompletion(reply: FastifyReply, view: RunView, { sessionId, leg = 0 }: RunInSession): FastifyReply {
  if (needsApproval(view, leg) && view.waitsBehind(leg))
    return sendError(reply, { status: 409, ...approvalError(view, sessionId, leg), retryable: false });
  switch (legState(view, leg)) {
    case 'asked':
    case 'completed':
      reply.removeHeader(SHOULD_RETRY);
      return reply.send(completionOf(view, sessionId, leg));
    case 'failed': {
      const { code = '', message = '' } = view.error ?? {};
      return sendError(reply, { status: 502, code, message, retryable: false });
    }
    case 'cancelled':
      return sendError(reply, {
        status: 409,
        code: 'run-cancelled',
        message: 'the run was cancelled',
        retryable: false,
      });
    default:
      return sendError(reply, {
        status: 409,
        code: 'not-finished',
        message: 'the run has not ended',
        retryable: false,
      });
  }
}
