// Runs as the client names them: each leg of a run is a run of its own.
import type { FastifyRequest } from 'fastify';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { SessionError } from '../../../session/errors.ts';
import { decodeLeg, encodeLeg } from '../../../wires/langgraph/interrupts.ts';
import { runResource } from '../../../wires/langgraph/resources.ts';
import { identityOf } from '../../http/http-app.ts';
import { readLegs, readRun, type ThreadReadsDeps } from './thread-reads.ts';

/** `leg`: of the run; it is a run of its own for the client. */
export interface RunName {
  readonly threadId: string;
  readonly runId: string;
  readonly leg: number;
}

/** @throws SessionError run-not-found */
export function runNameOf({ threadId, runId: id }: { readonly threadId: string; readonly runId: string }): RunName {
  const leg = decodeLeg(id);
  if (leg === undefined) throw new SessionError('run-not-found');
  return { threadId, ...leg };
}

export function locationOf({ threadId, ...leg }: RunName): string {
  return `/threads/${threadId}/runs/${encodeLeg(leg)}`;
}

/** A leg as a run. Behind a wait, and before the next leg has begun, that leg is pending. */
export async function legResource(
  deps: ThreadReadsDeps,
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
