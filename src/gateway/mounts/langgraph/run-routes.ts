// The routes of the runs of a LangGraph thread: created, streamed, waited for, read and cancelled.
import type { FastifyRequest } from 'fastify';
import Type from 'typebox';
import { isSessionError } from '../../../session/errors.ts';
import { isFault, parseModes, parseRunRequest, type Fault } from '../../../wires/langgraph/run-request.ts';
import type { Identity } from '../../auth/identity.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import type { PreparedStream, StreamRoutesDeps } from '../../routes/open-stream.ts';
import { refuse } from './refusals.ts';
import { join, waitUntil, type JoinDeps } from './run-join.ts';
import { locationOf, readLeg, runNameOf, type RunName } from './run-names.ts';
import { lastEventId, prepareStream, stream } from './run-stream.ts';
import { send, type SendDeps } from './send-run.ts';

export type RunRoutesDeps = JoinDeps & SendDeps & StreamRoutesDeps;

/** In ms. A worker has less time than this to end a stopped run. */
const CANCEL_WAIT_MS = 5_000;

const runParams = Type.Object({ threadId: Type.String(), runId: Type.String() });
const STREAM = { isLast: true } as const;

export function runRoutes(mount: HttpApp, deps: RunRoutesDeps): void {
  createRoutes(mount, deps);
  const schema = { hide: true, params: runParams };
  mount.get('/threads/:threadId/runs/:runId', { schema }, async (request) => {
    return readLeg(deps, identityOf(request), runNameOf(request.params));
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
      const run = runNameOf(request.params);
      const prepare = async (identity: Identity): Promise<PreparedStream> => {
        // A first leg is as old as its run, which `prepareStream` looks for.
        if (run.leg > 0) await readLeg(deps, identity, run);
        return prepareStream(deps, identity, run, modes, lastEventId(request));
      };
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
      return readLeg(deps, identityOf(request), run);
    });
    mount.post(`${thread}/runs/wait`, { schema: { hide: true } }, async (request, reply) => {
      const asked = mustBe(parseRunRequest(request.body));
      // A client that is refused for a limit has not sent its prompt, and may send it again.
      deps.runWaits.reserveUntilAnswered(request, reply, identityOf(request));
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

/** Undefined where the path has none. */
function threadOf({ params }: FastifyRequest): string | undefined {
  return (params as { readonly threadId?: string }).threadId;
}

/** Stops the run, whichever of its legs is named. True if it has ended. @throws SessionError not-found, run-not-found,
 *  no-active-run */
async function cancel(deps: RunRoutesDeps, run: RunName, waits: boolean, request: FastifyRequest): Promise<boolean> {
  const identity = identityOf(request);
  if (run.leg > 0) await readLeg(deps, identity, run);
  try {
    await deps.commands.cancel(identity, run.threadId, run.runId);
  } catch (error) {
    // A run that never was is not found; one that has ended is a conflict.
    if (isSessionError(error, 'no-active-run')) await readLeg(deps, identity, run);
    throw error;
  }
  return (
    waits &&
    waitUntil(deps, run, { isOver: ({ endedAt }) => endedAt !== undefined, timeoutMs: CANCEL_WAIT_MS }, request)
  );
}

/** @throws GatewayError invalid-request with the name of the field */
function mustBe<T extends object>(parsed: T | Fault): T {
  return isFault(parsed) ? refuse(parsed.param, parsed.reason) : parsed;
}
