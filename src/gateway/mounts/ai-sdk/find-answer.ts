// Finds the answer that a page resumes when it is loaded again.
import type { Clock } from '../../../base/clock.ts';
import { isSessionError } from '../../../session/errors.ts';
import type { Principal, SessionRef } from '../../../session/session-ref.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Identity } from '../../auth/identity.ts';
import type { PageReads } from '../../http/page-reads.ts';
import type { SessionIds } from '../../http/session-ids.ts';

export interface FindAnswerDeps {
  readonly clock: Clock;
  readonly reads: PageReads;
  readonly sessions: Sessions;
  readonly sessionIds: SessionIds;
}

/** In ms. A page may have loaded its history a moment before the answer ended. */
const JUST_ENDED_MS = 60_000;

/** The head of the queue (not one that is being stopped while another waits), else the last run of the shown branch if
 *  it has just ended. `have`: the id of the last answer that the page holds; if it is whole, there is nothing to
 *  resume. @throws SessionError not-found, run-not-found */
export async function findAnswer(
  { clock, reads, sessions, sessionIds }: FindAnswerDeps,
  identity: Identity,
  sessionId: string,
  have: string | undefined,
): Promise<string | undefined> {
  const { principal } = identity;
  const ref = await sessionIds.find(identity, sessionId);
  const { runs, tip } = (await sessions.authorize(principal, ref)).state;
  const active = runs.find(({ state }) => state !== 'cancelling') ?? runs[0];
  if (active !== undefined) return active.runId;
  if (tip === null) return undefined;
  const { runId } = tip;
  return reads.inTurn(principal, async () => {
    if (have !== undefined && (await answerIdOf(sessions, principal, ref, runId)) === have) return undefined;
    const [last] = (await sessions.runs(principal, ref, 1, undefined)).runs;
    const endedAt = last?.runId === runId ? last.endedAt : undefined;
    return endedAt !== undefined && clock.now() - Date.parse(endedAt) < JUST_ENDED_MS ? runId : undefined;
  });
}

/** The run has ended, so its answer is whole. */
async function answerIdOf(
  sessions: Sessions,
  principal: Principal,
  ref: SessionRef,
  runId: string,
): Promise<string | undefined> {
  const { messages } = await sessions.history(principal, ref, 1, undefined, runId);
  return messages.at(-1)?.messageId;
}

/** Undefined for a chat or a run that the caller has not. */
export async function orNothing<T>(find: () => Promise<T>): Promise<T | undefined> {
  try {
    return await find();
  } catch (error) {
    if (isSessionError(error, 'not-found') || isSessionError(error, 'run-not-found')) return undefined;
    throw error;
  }
}
