// `subscribe {sessionId, after?, cursor?}`: follow a chat from a position on. Answered by `subscribed`, then
// events; subscribing again starts over from the new position. [PROTOCOL §6]
import { encodePosition } from '../../broker/position.ts';
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws GatewayError, SessionError */
export async function subscribeFrame(
  { streams }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'subscribe'>,
): Promise<void> {
  const { sessionId, after, cursor } = frame;
  // What the reader had before must not go on between its question and our answer.
  socket.unfollow(sessionId);
  const start = await streams.start(socket.identity, sessionId, { after, cursor });
  socket.mustHaveRoom();
  socket.reply({
    type: 'subscribed',
    sessionId,
    position: start.after === undefined ? 'earliest' : encodePosition(start.after),
  });
  socket.follow(sessionId, start);
}
