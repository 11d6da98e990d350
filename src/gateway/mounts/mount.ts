// Mounts the wire of another protocol below a path. All requests below it get errors in the shape of that protocol, and
// JSON bodies may be as large as its clients send them. Host, origin and credentials are checked as for every request.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MappedError } from '../error-map.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { beginErrorReply } from '../http/error-replies.ts';
import type { HttpApp } from '../http/http-app.ts';
import { parseBody, type ParseBodyDeps } from '../http/request-body.ts';

/** Values of JSON in one body: a conversation of some thousand messages. */
export const WIRE_JSON_VALUES_MAX = 100_000;

export interface MountDeps extends ParseBodyDeps {
  readonly config: Pick<GatewayConfig, 'wireBodyBytesMax'>;
}

export interface MountOptions {
  /** The path of the wire, without a slash at its end. */
  readonly prefix: string;
  /** The token may be in the header `x-api-key`. */
  readonly acceptsApiKey?: boolean;
  /** Sends an error in the shape of the wire. The headers that every wire has are set. */
  readonly sendError: (mapped: MappedError, request: FastifyRequest, reply: FastifyReply) => FastifyReply;
}

export async function mountWire(
  app: HttpApp,
  deps: MountDeps,
  { prefix, acceptsApiKey = false, sendError }: MountOptions,
  addRoutes: (mount: HttpApp) => void | Promise<void>,
): Promise<void> {
  const replyError = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    sendError(beginErrorReply(error, request, reply), request, reply);
  const parse = async (request: FastifyRequest, bytes: Buffer): Promise<unknown> =>
    parseBody(deps, request, bytes, WIRE_JSON_VALUES_MAX);
  await app.register(
    async (mount: HttpApp) => {
      mount.setErrorHandler(replyError);
      mount.setNotFoundHandler((request, reply) => replyError(new GatewayError('no-such-route'), request, reply));
      mount.removeContentTypeParser('application/json');
      mount.addContentTypeParser('application/json', { parseAs: 'buffer' }, parse);
      mount.addHook('onRoute', (route) => {
        route.bodyLimit ??= deps.config.wireBodyBytesMax;
        // openapi.json documents the native protocol.
        route.schema = { ...route.schema, hide: true };
        if (acceptsApiKey) route.config = { ...route.config, acceptsApiKey };
      });
      await addRoutes(mount);
    },
    { prefix },
  );
}
