// Stores the position of a named reader, for HTTP and for WebSockets: an exact position, `earliest` or `latest`.
// [PROTOCOL §3]
import type { Cursors } from '../session/stores/cursors.ts';
import { SessionError } from '../session/errors.ts';
import type { Sessions } from '../session/sessions.ts';
import { parsePosition } from '../broker/position.ts';
import { requireWrite, type Identity } from './auth/identity.ts';
import type { SessionIds } from './http/session-ids.ts';
import { parseGivenPosition } from './http/wire-position.ts';

export interface CursorDeps {
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly cursors: Cursors;
}

/** @throws GatewayError forbidden, invalid-position; SessionError not-found, cursor-conflict */
export async function storeCursor(
  deps: CursorDeps,
  identity: Identity,
  sessionId: string,
  cursorId: string,
  text: string,
): Promise<void> {
  requireWrite(identity);
  const given = parseGivenPosition(text);
  const { sessionIds, sessions, cursors } = deps;
  const { principal } = identity;
  const ref = await sessionIds.find(identity, sessionId);
  if (given === 'latest') {
    const { position } = await sessions.describe(principal, ref);
    const head = parsePosition(position);
    if (head !== undefined) await cursors.store(principal, ref, cursorId, head);
    return;
  }
  await sessions.authorize(principal, ref);
  if (given !== 'earliest') {
    await cursors.store(principal, ref, cursorId, given);
    return;
  }
  // A cursor that was never stored is at the earliest position, and a stored cursor never moves back.
  if ((await cursors.read(principal, ref, cursorId)) !== undefined) throw new SessionError('cursor-conflict');
}
