// What each frame of a client does. One function for each type of frame that needs more than a line; `dispatch.ts`
// chooses it, and `client-frame.ts` has the shapes. [PROTOCOL §6]
import { encodePosition } from '../../broker/position.ts';
import type { Cursors } from '../../session/stores/cursors.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { Credentials } from '../auth/credentials.ts';
import type { ChatCommands } from '../chat-commands.ts';
import { storeCursor } from '../cursor-store.ts';
import type { EventStreams } from '../event-streams.ts';
import type { SessionIds } from '../http/session-ids.ts';
import type { ParseBudget } from '../limits/parse-budget.ts';
import type { ClientFrameOf } from './client-frame.ts';
import type { SocketSession } from './socket-session.ts';

export interface FrameDeps {
  readonly credentials: Credentials;
  readonly commands: ChatCommands;
  readonly streams: EventStreams;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly cursors: Cursors;
  readonly parseBudget: ParseBudget;
  /** Receives an unexpected error of a frame that was answered with `internal`. */
  readonly onDefect: (error: unknown) => void;
}

/** `auth {token}`: the first frame of a socket whose upgrade carried no credentials, and later the way to refresh its
 *  token in band. It has no reply; a token that is not accepted closes the socket. [PROTOCOL §2, §6]
 *  @throws GatewayError unauthenticated, token-expired, forbidden, too-many */
export async function authFrame(
  { credentials }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'auth'>,
): Promise<void> {
  socket.authenticate(await credentials.ofToken(frame.token));
}

/** `subscribe {sessionId, after?, cursor?}`: follows a chat from a position on. The reply is `subscribed`, then events.
 *  Subscribing again starts over from the new position.
 *  @throws GatewayError, SessionError */
export async function subscribeFrame(
  { streams }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'subscribe'>,
): Promise<void> {
  const { sessionId, after, cursor } = frame;
  // Events of an earlier subscription must not arrive between the request and the reply.
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

/** `send {requestId, sessionId, content, …}`: a prompt, as `POST …/messages` takes it. [PROTOCOL §3]
 *  @throws GatewayError, SessionError */
export async function sendFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'send'>,
): Promise<void> {
  const { requestId, sessionId } = frame;
  const sent = await commands.send(socket.identity, sessionId, frame);
  socket.reply({ type: 'ok', requestId, ...sent });
}

/** `edit {requestId, sessionId, messageId, content}`: changes a queued prompt, as `PATCH …/messages/{messageId}` does.
 *  @throws GatewayError, SessionError */
export async function editFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'edit'>,
): Promise<void> {
  const { requestId, sessionId, messageId } = frame;
  await commands.edit(socket.identity, sessionId, messageId, frame);
  socket.reply({ type: 'ok', requestId });
}

/** `withdraw {requestId, sessionId, messageId}`: removes a queued prompt, as `DELETE …/messages/{messageId}` does.
 *  @throws SessionError */
export async function withdrawFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'withdraw'>,
): Promise<void> {
  const { requestId, sessionId, messageId } = frame;
  await commands.withdraw(socket.identity, sessionId, messageId);
  socket.reply({ type: 'ok', requestId });
}

/** `regenerate {requestId, sessionId, messageId, …}`: requests another answer, as `POST …/regenerate` does.
 *  @throws GatewayError, SessionError */
export async function regenerateFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'regenerate'>,
): Promise<void> {
  const { requestId, sessionId, messageId } = frame;
  const sent = await commands.regenerate(socket.identity, sessionId, messageId, frame);
  socket.reply({ type: 'ok', requestId, ...sent });
}

/** `select {requestId, sessionId, runId}`: shows another branch, as `PUT …/branch` does.
 *  @throws SessionError */
export async function selectFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'select'>,
): Promise<void> {
  const { requestId, sessionId, runId } = frame;
  await commands.select(socket.identity, sessionId, runId);
  socket.reply({ type: 'ok', requestId });
}

/** `cancel {requestId, sessionId, runId?}`: stops a run, as `POST …/cancel` does. [PROTOCOL §3]
 *  @throws SessionError */
export async function cancelFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'cancel'>,
): Promise<void> {
  const { requestId, sessionId, runId } = frame;
  const cancelled = await commands.cancel(socket.identity, sessionId, runId);
  socket.reply({ type: 'ok', requestId, ...cancelled });
}

/** `answer {requestId, sessionId, inputId, …}`: answers what a run asks a human for. @throws GatewayError,
 *  SessionError */
export async function answerFrame(
  { commands }: FrameDeps,
  socket: SocketSession,
  frame: ClientFrameOf<'answer'>,
): Promise<void> {
  const { requestId, sessionId, inputId } = frame;
  const answered = await commands.answerInput(socket.identity, sessionId, inputId, frame);
  socket.reply({ type: 'ok', requestId, ...answered });
}

/** `ack {sessionId, cursor, position}`: stores how far a named reader has read. The reply is sent only if the frame
 *  carries a requestId, or if it failed.
 *  @throws GatewayError invalid-position; SessionError not-found, cursor-conflict */
export async function ackFrame(deps: FrameDeps, socket: SocketSession, frame: ClientFrameOf<'ack'>): Promise<void> {
  const { requestId, sessionId, cursor, position } = frame;
  await storeCursor(deps, socket.identity, sessionId, cursor, position);
  if (requestId !== undefined) socket.reply({ type: 'ok', requestId });
}
