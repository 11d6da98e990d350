// `regenerate {requestId, sessionId, messageId, …}`, `select {requestId, sessionId, runId}`: as POST …/regenerate and PUT
// …/branch. [PROTOCOL §3, §6]
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws GatewayError, SessionError */
export async function regenerateFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'regenerate'>,
): Promise<void> {
  const { requestId, sessionId, messageId } = frame;
  const sent = await commands.regenerate(socket.identity, sessionId, messageId, frame);
  socket.reply({ type: 'ok', requestId, ...sent });
}

/** @throws SessionError */
export async function selectFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'select'>,
): Promise<void> {
  const { requestId, sessionId, runId } = frame;
  await commands.select(socket.identity, sessionId, runId);
  socket.reply({ type: 'ok', requestId });
}
