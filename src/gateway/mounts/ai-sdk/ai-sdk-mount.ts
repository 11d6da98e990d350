// The AI SDK wire below `/api/chat`: what `useChat` calls with its `DefaultChatTransport`, and two extensions (stop,
// messages). An error is plain text, because the client shows the body as the message of its error.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MappedError, WireError } from '../../error-map.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { chatRoutes, type ChatRoutesDeps } from './chat-routes.ts';
import { uiMessagesRoutes, type UiMessagesDeps } from './ui-messages-routes.ts';

export async function mountAiSdk(app: HttpApp, deps: MountDeps & ChatRoutesDeps & UiMessagesDeps): Promise<void> {
  await mountWire(app, deps, { prefix: '/api/chat', sendError }, (mount) => {
    chatRoutes(mount, deps);
    uiMessagesRoutes(mount, deps);
  });
}

function sendError({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const text = [error.message, ...schemaFaults(error)].join('\n');
  return reply.code(status).header('x-holdline-code', error.code).type('text/plain; charset=utf-8').send(text);
}

/** The client shows only the text, so a body that is not valid names its faults there. A message that a route wrote
 *  itself names its field already. */
function schemaFaults({ message, details }: WireError): readonly string[] {
  if (!Array.isArray(details) || details.length === 0) return [];
  return details.flatMap(({ path, message: fault }: { path?: string; message?: string }) =>
    path === undefined || fault === undefined || message.includes(fault) ? [] : [`${path}: ${fault}`],
  );
}
