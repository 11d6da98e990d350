// `edit {requestId, sessionId, messageId, content}`, `withdraw {requestId, sessionId, messageId}`: a prompt that waits, as
// PATCH and DELETE …/messages/{messageId}. [PROTOCOL §3, §6]
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws GatewayError, SessionError */
export async function editFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'edit'>,
): Promise<void> {
  const { requestId, sessionId, messageId } = frame;
  await commands.edit(socket.identity, sessionId, messageId, frame);
  socket.reply({ type: 'ok', requestId });
}

/** @throws SessionError */
export async function withdrawFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'withdraw'>,
): Promise<void> {
  const { requestId, sessionId, messageId } = frame;
  await commands.withdraw(socket.identity, sessionId, messageId);
  socket.reply({ type: 'ok', requestId });
}
