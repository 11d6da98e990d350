// POST /ag-ui/{agent}: AG-UI 1.0, a run and its stream; and POST /ag-ui/{agent}/cancel, which the protocol lacks.
// Errors before the stream have the native shape.
import Type from 'typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import { agUiWire } from '../../../wires/ag-ui/ag-ui-wire.ts';
import { InputError } from '../../../wires/ag-ui/input-error.ts';
import { parseCancel, parseRunInput } from '../../../wires/ag-ui/run-input.ts';
import type { MappedError } from '../../error-map.ts';
import type { GatewayParts } from '../../gateway-parts.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { mustBeServed } from '../../known-agents.ts';
import { openStream } from '../../routes/open-stream.ts';
import { mountWire } from '../mount.ts';
import { AgUiRuns } from './ag-ui-runs.ts';
import { promptBody, refusedField } from './prompt-body.ts';

const PREFIX = '/ag-ui';
const schema = { hide: true, params: Type.Object({ agent: Type.String() }) };

export async function mountAgUi(app: HttpApp, parts: GatewayParts): Promise<void> {
  const runs = new AgUiRuns(parts);
  await mountWire(app, parts, { prefix: PREFIX, sendError }, (mount) => {
    mount.addHook('preHandler', async ({ params }) => {
      const { agent } = params as { readonly agent: string };
      mustBeServed(parts.config.agents, agent);
    });
    runRoute(mount, parts, runs);
    mount.post('/:agent/cancel', { schema }, async (request, reply) => {
      const { threadId, runId } = parsed(() => parseCancel(request.body));
      return reply.code(202).send(await runs.cancel(identityOf(request), threadId, runId));
    });
  });
}

function runRoute(mount: HttpApp, parts: GatewayParts, runs: AgUiRuns): void {
  mount.post('/:agent', { schema, config: { isLast: true } }, async (request, reply) => {
    const input = parsed(() => parseRunInput(request.body));
    await openStream(parts, request, reply, {
      url: `${PREFIX}/:agent`,
      wire: agUiWire,
      sessionId: input.threadId,
      ticket: undefined,
      prepare: async (identity) => {
        const { runId, fromLeg } =
          input.resume === undefined
            ? { runId: await runs.find(request, identity, promptBody(request.params.agent, input), input), fromLeg: 0 }
            : await runs.resume(request, identity, input.resume, input);
        const start = await parts.streams.startAtRun(identity, input.threadId, runId, { hasRoom: true });
        const { threadId, runId: requestId, conversation, held, heldReasoning } = input;
        const frames = {
          threadId,
          runId: requestId,
          conversation,
          holdsMore: fromLeg === 0 && held.length > 0,
          heldReasoning,
          fromLeg,
        };
        return {
          start,
          encoder: new ProjectedEncoder(agUiWire.project({ runId, after: undefined }, frames)),
          headers: { 'x-run-id': runId, 'x-session-id': threadId },
          onReset: 'close',
          until: 'forever',
        };
      },
    });
    return reply;
  });
}

/** @throws GatewayError invalid-request */
function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw refusedField(error.field, error.message);
  }
}

function sendError({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  // The agent is in the path.
  const shown = error.code === 'unknown-agent' ? 404 : status;
  return reply.code(shown).type('application/json; charset=utf-8').send({ error });
}
