// One WebSocket of the scripted server: receives the client's frames and subscribes chats on the socket.
import type { WebSocket } from 'ws';
import type { ScriptedChat, Viewer, ViewerFaults } from './scripted-chat.ts';

export interface SeenFrame {
  /** The number of the socket that carried it, from 1. */
  readonly socket: number;
  readonly frame: Readonly<Record<string, unknown>>;
}

export interface SocketFaults extends ViewerFaults {
  /** These tokens are refused: 401, or close code 4401. */
  readonly refusedTokens: Set<string>;
}

interface SocketHost {
  readonly chats: ReadonlyMap<string, ScriptedChat>;
  readonly frames: SeenFrame[];
  readonly faults: SocketFaults;
}

export function serveSocket(socket: WebSocket, number: number, host: SocketHost): void {
  const joined = new Map<string, Viewer>();
  const leave = (sessionId: string): void => {
    const viewer = joined.get(sessionId);
    if (viewer !== undefined) host.chats.get(sessionId)?.leave(viewer);
    joined.delete(sessionId);
  };
  socket.on('close', () => {
    for (const sessionId of [...joined.keys()]) leave(sessionId);
  });
  socket.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as SeenFrame['frame'];
    host.frames.push({ socket: number, frame });
    if (host.faults.isSilent) return;
    const { type, token, sessionId, after } = frame;
    if (type === 'auth' && typeof token === 'string' && host.faults.refusedTokens.has(token)) socket.close(4401);
    if (type === 'ping') socket.send('{"type":"pong"}');
    if (typeof sessionId !== 'string') return;
    if (type === 'unsubscribe') leave(sessionId);
    if (type === 'subscribe') subscribe(socket, joined, host.chats.get(sessionId), { sessionId, after });
  });
}

function subscribe(
  socket: WebSocket,
  joined: Map<string, Viewer>,
  chat: ScriptedChat | undefined,
  wanted: { readonly sessionId: string; readonly after: unknown },
): void {
  const { sessionId, after } = wanted;
  const send = (reply: unknown): void => socket.send(JSON.stringify(reply));
  if (chat === undefined) {
    send({ type: 'error', sessionId, code: 'not-found', message: 'no such chat' });
    return;
  }
  const viewer: Viewer = {
    send: (event) => send({ type: 'event', sessionId, ...event }),
    beat: () => undefined,
    end: () => socket.close(1000),
    cut: () => socket.terminate(),
  };
  joined.set(sessionId, viewer);
  send({ type: 'subscribed', sessionId, position: chat.position });
  chat.join(viewer, typeof after === 'string' ? after : 'earliest');
}
