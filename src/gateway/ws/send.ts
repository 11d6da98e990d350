// `send {requestId, sessionId, content, …}`: a prompt, as `POST …/messages` takes it. [PROTOCOL §3, §6]
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws GatewayError, SessionError */
export async function sendFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'send'>,
): Promise<void> {
  const { requestId, sessionId } = frame;
  const sent = await commands.send(socket.identity, sessionId, frame);
  socket.reply({ type: 'ok', requestId, ...sent });
}
