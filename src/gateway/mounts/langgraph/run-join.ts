// Requests that are answered when a run has ended, or one leg of it: with the values of its thread.
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { delay, type Clock } from '../../../base/clock.ts';
import { StopController } from '../../../base/stop-signal.ts';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { SessionError } from '../../../session/errors.ts';
import type { RunTimeline } from '../../../session/history/run-timeline.ts';
import { isLegOver, legStatus } from '../../../wires/langgraph/legs.ts';
import { errorFields, interruptFields } from '../../../wires/langgraph/resources.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf } from '../../http/http-app.ts';
import { ANSWER_WAIT_MS, type RunWaits } from '../../run-waits.ts';
import type { RunName } from './run-names.ts';
import { readRun, readRunValues, type ThreadReadsDeps } from './thread-reads.ts';

export interface JoinDeps extends ThreadReadsDeps {
  readonly runWaits: RunWaits;
  readonly clock: Clock;
  readonly config: GatewayConfig;
}

/** A run that ends within the time of one request is answered with its values or an error. With a longer one the answer
 *  begins, and blank lines keep its connection open: the SDK has no time limit of its own, but the fetch of Node gives
 *  up a request without the head of an answer. */
export async function join(
  deps: JoinDeps,
  run: RunName,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const began = deps.clock.mono();
  if (await waitForLeg(deps, run, ANSWER_WAIT_MS, request)) {
    const values = await valuesOf(deps, run, request);
    await deps.reads.admit(request, reply);
    return reply.sent ? reply : reply.send(values);
  }
  // The wait ended early, because the node drains or the token has expired. A client that joins a run tries again.
  if (deps.clock.mono() - began < ANSWER_WAIT_MS)
    return reply
      .code(503)
      .header('retry-after', '1')
      .send({ detail: 'the run has not ended yet: join it again', code: 'not-ended' });
  return reply.type('application/json; charset=utf-8').send(Readable.from(heldValues(deps, run, request)));
}

/** In ms. The longest wait of one request; a token ends it earlier. */
export const JOIN_WAIT_MS_MAX = 24 * 60 * 60 * 1000;

/** Breaks the connection where the run has not ended by then: the client must not take the rest for the values. */
async function* heldValues(deps: JoinDeps, run: RunName, request: FastifyRequest): AsyncGenerator<string> {
  yield '\n';
  const ended = waitForLeg(deps, run, JOIN_WAIT_MS_MAX, request).then(
    (hasEnded) => ({ hasEnded }),
    (error: unknown) => ({ error }),
  );
  for (;;) {
    const beat = new StopController();
    const first = await Promise.race([ended, delay(deps.clock, deps.config.sseHeartbeatMs, beat)]);
    beat.abort();
    if (first === undefined) yield '\n';
    else if ('error' in first) throw first.error;
    else if (!first.hasEnded) throw new GatewayError('draining');
    else break;
  }
  yield JSON.stringify(await valuesOf(deps, run, request));
}

async function valuesOf(deps: JoinDeps, { threadId, runId }: RunName, request: FastifyRequest): Promise<JsonObject> {
  const { messages, asked, error } = await readRunValues(deps, identityOf(request), threadId, runId);
  return { messages, ...interruptFields(asked), ...(error === undefined ? {} : { __error__: errorFields(error) }) };
}

/** True if the leg is over. @throws SessionError not-found, run-not-found; GatewayError */
async function waitForLeg(deps: JoinDeps, run: RunName, timeoutMs: number, request: FastifyRequest): Promise<boolean> {
  const isOver = (timeline: RunTimeline): boolean => {
    if (legStatus(timeline, run.leg) === undefined) throw new SessionError('run-not-found');
    return isLegOver(timeline, run.leg);
  };
  return waitUntil(deps, run, { isOver, timeoutMs, endsAtWait: true }, request);
}

export interface Until {
  readonly isOver: (run: RunTimeline) => boolean;
  readonly timeoutMs: number;
  /** It may be over where the run waits. */
  readonly endsAtWait?: boolean;
}

/** Waits for the end of a run, or for its next wait. True if it is over then. @throws SessionError not-found,
 *  run-not-found; GatewayError */
export async function waitUntil(
  { runWaits, ...deps }: JoinDeps,
  { threadId, runId }: RunName,
  { isOver, timeoutMs, endsAtWait = false }: Until,
  request: FastifyRequest,
): Promise<boolean> {
  const identity = identityOf(request);
  const hasEnded = async (): Promise<boolean> => isOver(await readRun(deps, identity, threadId, runId));
  if (await hasEnded()) return true;
  const wait = { sessionId: threadId, runId, wire: 'langgraph', timeoutMs, hasEnded, endsAtWait } as const;
  await runWaits.wait(request, identity, wait);
  return hasEnded();
}
