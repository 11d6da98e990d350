// `auth {token}`: the first frame of a socket that was not authenticated by its upgrade, and later the way to
// refresh its token in band. It has no answer; a token that does not do closes the socket. [PROTOCOL §2, §6]
import type { SocketSession } from './socket-session.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { FrameDeps } from './frame-deps.ts';

/** @throws GatewayError unauthenticated, token-expired, forbidden, too-many */
export async function authFrame(
  { credentials }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'auth'>,
): Promise<void> {
  socket.authenticate(await credentials.ofToken(frame.token));
}
