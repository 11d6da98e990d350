// The session of an ask: what one run wants to know of another agent is a chat of its own, with the same fence, takeover
// and Stop as any. Its id is made of the run that asks and of the ask's key, so a run that was taken over finds its asks
// again; it has dots, which no user's id can have, so nobody else reaches it. Its owner is the run that asks.
import { createHash } from 'node:crypto';
import type { Principal, SessionRef } from './session-ref.ts';

/** An ask of a user's run is 1, an ask of that one's run 2. Each has queues of its own, so each level costs every worker. */
export const ASK_DEPTH_MAX = 3;
/** An ask is kept this long after its last event: for as long as a run may wait for another worker to take it over. */
export const ASK_TTL_MS = 24 * 60 * 60 * 1000;

const SEPARATOR = '.';
/** 132 bits: no two asks of one run meet. */
const DIGEST_CHARS = 22;

/** A run, wherever it is. */
export interface RunRef extends SessionRef {
  readonly runId: string;
}

/** 0 for a session of a user. */
export function askDepth(sessionId: string): number {
  const [, depth] = sessionId.split(SEPARATOR);
  return depth === undefined ? 0 : Number(depth);
}

export function subagentSession(parent: RunRef, key: string): SessionRef {
  const [root = ''] = parent.sessionId.split(SEPARATOR);
  const digest = createHash('sha256').update(`${parent.runId} ${key}`).digest('base64url').slice(0, DIGEST_CHARS);
  return { tenant: parent.tenant, sessionId: [root, askDepth(parent.sessionId) + 1, digest].join(SEPARATOR) };
}

/** In whose name an ask is sent, read and stopped. */
export function parentPrincipal({ tenant, sessionId, runId }: RunRef): Principal {
  return { tenant, user: `${sessionId}/${runId}` };
}

/** The run that asked, by its session's owner; undefined for a session of a user, whose name may look like anything. */
export function parentRunOf(ref: SessionRef, owner: string): RunRef | undefined {
  const [sessionId, runId] = owner.split('/');
  if (askDepth(ref.sessionId) === 0 || sessionId === undefined || runId === undefined) return undefined;
  return { tenant: ref.tenant, sessionId, runId };
}
