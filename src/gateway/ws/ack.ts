// `ack {sessionId, cursor, position}`: stores how far a named reader has got. Answered only where it carries a
// requestId, or where it failed. [PROTOCOL §6]
import { storeCursor } from '../cursor-store.ts';
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws GatewayError invalid-position; SessionError not-found, cursor-conflict */
export async function ackFrame(deps: FrameDeps, socket: SocketSession, frame: ClientFrameOf<'ack'>): Promise<void> {
  const { requestId, sessionId, cursor, position } = frame;
  await storeCursor(deps, socket.identity, sessionId, cursor, position);
  if (requestId !== undefined) socket.reply({ type: 'ok', requestId });
}
