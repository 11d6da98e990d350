// Views of chats as durable streams, below /ds: what `createDurableChatTransport` calls (`/ds/chat`), the streams that
// it reads (`/ds/runs`), and whole chats (`/ds/chats`). They are read-only: a chat is changed by its own protocols.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MappedError } from '../../error-map.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { sendError } from '../ai-sdk/ai-sdk-mount.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { durableChatRoutes, type DurableChatDeps } from './durable-chat-routes.ts';
import { chatViewRoute, CHATS_PREFIX, runViewRoute, RUNS_PREFIX, type ViewDeps } from './view-routes.ts';

export async function mountStreamViews(app: HttpApp, deps: MountDeps & DurableChatDeps & ViewDeps): Promise<void> {
  await mountWire(app, deps, { prefix: '/ds/chat', sendError }, (mount) => durableChatRoutes(mount, deps));
  await mountWire(app, deps, { prefix: RUNS_PREFIX, sendError: sendJson }, (mount) => {
    takeAnyBody(mount);
    runViewRoute(mount, deps);
  });
  await mountWire(app, deps, { prefix: CHATS_PREFIX, sendError: sendJson }, (mount) => {
    takeAnyBody(mount);
    chatViewRoute(mount, deps);
  });
}

/** A write is refused whatever its body is. */
function takeAnyBody(mount: HttpApp): void {
  mount.removeAllContentTypeParsers();
  mount.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, bytes: Buffer) => bytes);
}

function sendJson({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.code(status).type('application/json; charset=utf-8').send({ error });
}
