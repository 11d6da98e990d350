// Parses a frame and calls its function. A fault of one request is answered on the socket. A fault of the socket as a
// whole (a bad frame, no token, an expired token) is thrown and closes the socket. `frames.ts` has the functions.
import { isGatewayError } from '../gateway-error.ts';
import { mapError } from '../error-map.ts';
import type { FrameAddress, SocketSession } from './socket-session.ts';
import { parseClientFrame, RefusedFrame, type ClientFrame } from './client-frame.ts';
import {
  ackFrame,
  answerFrame,
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
  // The budget is spent before any work. A socket without a user has no budget, but only its first frame is parsed.
  const { principal } = socket;
  if (principal !== undefined) deps.parseBudget.spend(principal, text.length);
  const frame = parseClientFrame(text);
  if (!(frame instanceof RefusedFrame) && frame.type === 'auth') return authFrame(deps, socket, frame);
  // Reading the identity throws without a valid token, for a refused frame and a ping as well: a socket without a user
  // may send `auth` only.
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
    case 'answer':
      return answerFrame(deps, socket, frame);
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
