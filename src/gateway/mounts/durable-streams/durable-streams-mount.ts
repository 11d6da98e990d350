// /ds/v1/stream/<name>: durable streams, as the protocol of that name has them. A stream belongs to the user who made
// it; for a caller, other users' streams do not exist.
import type { FastifyReply } from 'fastify';
import type { HttpApp } from '../../http/http-app.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { ReadRoutes, type ReadRoutesDeps } from './read-routes.ts';
import { sendRefusal, StreamRefusal } from './stream-refusals.ts';
import type { StreamRequest } from './stream-of-request.ts';
import { WriteRoutes, type WriteRoutesDeps } from './write-routes.ts';

export type DurableStreamsDeps = MountDeps & ReadRoutesDeps & WriteRoutesDeps;

const URL = '/v1/stream/*';

export async function mountDurableStreams(app: HttpApp, deps: DurableStreamsDeps): Promise<void> {
  await mountWire(
    app,
    deps,
    {
      prefix: '/ds',
      sendError: ({ status, error }, _request, reply) =>
        reply.code(status).type('application/json; charset=utf-8').send({ error }),
    },
    (mount) => {
      // A body is bytes of the type that its stream has. Only JSON streams are parsed, by their handler.
      mount.removeAllContentTypeParsers();
      mount.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, bytes: Buffer) => bytes);
      addRoutes(mount, new WriteRoutes(deps), new ReadRoutes(deps));
    },
  );
}

function addRoutes(mount: HttpApp, writes: WriteRoutes, reads: ReadRoutes): void {
  // The protocol has a specification of its own, and /openapi.json describes the native one.
  const schema = { hide: true };
  mount.put(URL, { schema }, refusing(writes.create));
  mount.post(URL, { schema }, refusing(writes.append));
  mount.delete(URL, { schema }, refusing(writes.remove));
  // Before GET, for which Fastify would add a HEAD of its own.
  mount.head(URL, { schema }, refusing(reads.head));
  mount.get(URL, { schema, preHandler: reads.admit }, refusing(reads.get));
}

type Handler = (request: StreamRequest, reply: FastifyReply) => Promise<FastifyReply>;

function refusing(handle: Handler): Handler {
  return async (request, reply) => {
    try {
      return await handle(request, reply);
    } catch (error) {
      if (error instanceof StreamRefusal) return sendRefusal(reply, error);
      throw error;
    }
  };
}
