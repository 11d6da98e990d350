// Storing how far a named reader has got, as both wires do it: an exact position, or one of the words that stand
// for one. [PROTOCOL §3]
import type { Cursors } from '../session/cursors.ts';
import { SessionError } from '../session/errors.ts';
import type { SessionRef } from '../session/session-ref.ts';
import type { Sessions } from '../session/sessions.ts';
import { parsePosition } from '../broker/position.ts';
import { requireWrite, type Identity } from './auth/identity.ts';
import { parseGivenPosition } from './wire-position.ts';

export interface CursorDeps {
  readonly sessions: Sessions;
  readonly cursors: Cursors;
}

/** @throws GatewayError forbidden, invalid-position; SessionError not-found, cursor-conflict */
export async function storeCursor(deps: CursorDeps, identity: Identity, ref: SessionRef, cursorId: string, text: string): Promise<void> {
  requireWrite(identity);
  const given = parseGivenPosition(text);
  const { sessions, cursors } = deps;
  if (given === 'latest') {
    const { position } = await sessions.describe(identity.principal, ref);
    const head = parsePosition(position);
    if (head !== undefined) await cursors.store(ref, cursorId, head);
    return;
  }
  await sessions.authorize(identity.principal, ref);
  if (given !== 'earliest') {
    await cursors.store(ref, cursorId, given);
    return;
  }
  // Before everything is where a cursor that was never stored stands, and none moves back there.
  if ((await cursors.read(ref, cursorId)) !== undefined) throw new SessionError('cursor-conflict');
}
