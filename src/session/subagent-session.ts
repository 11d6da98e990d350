// The session in which a run asks another agent: a chat of its own. Fencing token, takeover and Stop work as in a
// user's chat. Its id derives from the parent run and the ask's key, so a run that was taken over finds its asks again.
// The id contains dots, which no user's id can contain, so no user can reach the session. Its owner is the parent run.
import { createHash } from 'node:crypto';
import type { Principal, SessionRef } from './session-ref.ts';

/** An ask by a user's run has depth 1, an ask by the run of that ask depth 2. Each depth has queues of its own, so each
 *  depth costs every worker. */
export const ASK_DEPTH_MAX = 3;
/** An ask is stored this long after its last event: the time that a run may wait for its takeover. */
export const ASK_TTL_MS = 24 * 60 * 60 * 1000;

const SEPARATOR = '.';
/** 132 bits: two asks of one run practically never share an id. */
const DIGEST_CHARS = 22;

/** A run and its session. */
export interface RunRef extends SessionRef {
  readonly runId: string;
}

/** 0 for a session of a user. */
export function askDepth(sessionId: string): number {
  const [, depth] = sessionId.split(SEPARATOR);
  return depth === undefined ? 0 : Number(depth);
}

/** The session of a user at the root of its asks, asks of asks included. */
export function rootSession(sessionId: string): string {
  const end = sessionId.indexOf(SEPARATOR);
  return end < 0 ? sessionId : sessionId.slice(0, end);
}

export function subagentSession(parent: RunRef, key: string): SessionRef {
  const digest = createHash('sha256').update(`${parent.runId} ${key}`).digest('base64url').slice(0, DIGEST_CHARS);
  const root = rootSession(parent.sessionId);
  return { tenant: parent.tenant, sessionId: [root, askDepth(parent.sessionId) + 1, digest].join(SEPARATOR) };
}

/** The principal that sends, reads and stops the asks of this run. */
export function parentPrincipal({ tenant, sessionId, runId }: RunRef): Principal {
  return { tenant, user: `${sessionId}/${runId}` };
}

/** The parent run, decoded from the session's owner. Undefined for a user's session: a user's name may look like a
 *  run's. */
export function parentRunOf(ref: SessionRef, owner: string): RunRef | undefined {
  const [sessionId, runId] = owner.split('/');
  if (askDepth(ref.sessionId) === 0 || sessionId === undefined || runId === undefined) return undefined;
  return { tenant: ref.tenant, sessionId, runId };
}
