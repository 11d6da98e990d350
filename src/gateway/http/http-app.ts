// The Fastify application as every route sees it, and what a route says about itself.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { Identity } from '../auth/identity.ts';

export type HttpApp = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** Who may call. `chat` is what a route gets that says nothing: forgetting it closes the door. `own`: the route looks
 *  at the credentials itself, because it takes more kinds of them. */
export type RouteAccess = 'chat' | 'own' | 'open';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess;
    /** The connection ends with the answer. */
    isLast?: boolean;
  }
  interface FastifyRequest {
    /** Null where the route is not for `chat`. */
    identity: Identity | null;
  }
}

/** Of a request to a `chat` route. */
export function identityOf(request: FastifyRequest): Identity {
  if (request.identity === null) throw new Error('this route was reached without its access check');
  return request.identity;
}
