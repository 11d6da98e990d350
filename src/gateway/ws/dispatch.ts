// From a frame's text to what it does. Faults of one request are answered on the socket; what concerns the socket
// as a whole (a bad frame, no token, a token that has expired) is thrown and closes it.
import { isGatewayError } from '../gateway-error.ts';
import { mapError } from '../error-map.ts';
import type { FrameAddress, SocketSession } from './socket-session.ts';
import { parseClientFrame, RefusedFrame, type ClientFrame } from './client-frame.ts';
import {
  ackFrame,
  authFrame,
  cancelFrame,
  editFrame,
  regenerateFrame,
  selectFrame,
  sendFrame,
  subscribeFrame,
  withdrawFrame,
  type FrameDeps,
} from './frames.ts';

/** @throws GatewayError: final for the socket */
export async function dispatchFrame(deps: FrameDeps, socket: SocketSession, text: string): Promise<void> {
  // Before it costs anything. Of a socket that is nobody's yet only one frame is read.
  const { principal } = socket;
  if (principal !== undefined) deps.parseBudget.spend(principal, text.length);
  const frame = parseClientFrame(text);
  if (!(frame instanceof RefusedFrame) && frame.type === 'auth') return authFrame(deps, socket, frame);
  // Also of a frame that is refused, and of a ping: a socket that is nobody's may say `auth` and nothing else.
  socket.identity satisfies object;
  if (frame instanceof RefusedFrame) socket.replyError(frame.address, frame.error);
  else await answer(deps, socket, frame);
}

async function answer(
  deps: FrameDeps,
  socket: SocketSession,
  frame: Exclude<ClientFrame, { type: 'auth' }>,
): Promise<void> {
  try {
    await serve(deps, socket, frame);
  } catch (error) {
    if (isGatewayError(error, 'unauthenticated') || isGatewayError(error, 'token-expired')) throw error;
    if (mapError(error).isDefect) deps.onDefect(error);
    socket.replyError(addressOf(frame), error);
  }
}

async function serve(
  deps: FrameDeps,
  socket: SocketSession,
  frame: Exclude<ClientFrame, { type: 'auth' }>,
): Promise<void> {
  switch (frame.type) {
    case 'subscribe':
      return subscribeFrame(deps, socket, frame);
    case 'unsubscribe':
      socket.unfollow(frame.sessionId);
      return;
    case 'send':
      return sendFrame(deps, socket, frame);
    case 'edit':
      return editFrame(deps, socket, frame);
    case 'withdraw':
      return withdrawFrame(deps, socket, frame);
    case 'regenerate':
      return regenerateFrame(deps, socket, frame);
    case 'select':
      return selectFrame(deps, socket, frame);
    case 'cancel':
      return cancelFrame(deps, socket, frame);
    case 'ack':
      return ackFrame(deps, socket, frame);
    case 'ping':
      socket.reply({ type: 'pong' });
      return;
    default:
      return frame satisfies never;
  }
}

function addressOf(frame: ClientFrame): FrameAddress {
  if ('requestId' in frame) return { requestId: frame.requestId };
  return 'sessionId' in frame ? { sessionId: frame.sessionId } : {};
}
