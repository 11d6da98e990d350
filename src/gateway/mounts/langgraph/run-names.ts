// Runs as the client names them: each leg of a run is a run of its own.
import { SessionError } from '../../../session/errors.ts';
import { decodeLeg, encodeLeg } from '../../../wires/langgraph/interrupts.ts';
import { legResource } from '../../../wires/langgraph/legs.ts';
import type { RunResource } from '../../../wires/langgraph/resources.ts';
import type { Identity } from '../../auth/identity.ts';
import { readRun, type ThreadReadsDeps } from './thread-reads.ts';

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

/** A leg as a run. Behind a wait, and before the next leg has begun, that leg is pending. @throws SessionError
 *  not-found, run-not-found */
export async function readLeg(
  deps: ThreadReadsDeps,
  identity: Identity,
  { threadId, runId, leg }: RunName,
): Promise<RunResource> {
  const resource = legResource(threadId, await readRun(deps, identity, threadId, runId), leg);
  if (resource === undefined) throw new SessionError('run-not-found');
  return resource;
}
