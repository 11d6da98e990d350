// The AI SDK wire below `/api/chat`: what `useChat` calls with its `DefaultChatTransport`, the WebSocket of its
// `WebSocketChatTransport`, and two extensions (stop, messages). An error is plain text, because the client shows the
// body as the message of its error.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MappedError } from '../../error-map.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { chatRoutes, type ChatRoutesDeps } from './chat-routes.ts';
import { errorText } from './error-text.ts';
import { socketRoute, type SocketRouteDeps } from './socket-route.ts';
import { uiMessagesRoutes, type UiMessagesDeps } from './ui-messages-routes.ts';

export async function mountAiSdk(
  app: HttpApp,
  deps: MountDeps & ChatRoutesDeps & UiMessagesDeps & SocketRouteDeps,
): Promise<void> {
  await mountWire(app, deps, { prefix: '/api/chat', sendError }, (mount) => {
    chatRoutes(mount, deps);
    socketRoute(mount, deps);
    uiMessagesRoutes(mount, deps);
  });
}

export function sendError({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply
    .code(status)
    .header('x-holdline-code', error.code)
    .type('text/plain; charset=utf-8')
    .send(errorText(error));
}
