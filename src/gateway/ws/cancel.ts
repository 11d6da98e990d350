// `cancel {requestId, sessionId, runId?}`: stop a run, as `POST …/cancel` does. [PROTOCOL §3, §6]
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws SessionError */
export async function cancelFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'cancel'>,
): Promise<void> {
  const { requestId, sessionId, runId } = frame;
  const cancelled = await commands.cancel(socket.identity, sessionId, runId);
  socket.reply({ type: 'ok', requestId, ...cancelled });
}
