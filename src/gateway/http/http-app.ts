// The Fastify application: its type, what a route says about itself, and the application with every limit that a server on
// the open network needs. Bodies are JSON and nothing else, and every error goes out in one shape [PROTOCOL §1]. The
// routes and the checks before them are not on it yet.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Identity } from '../auth/identity.ts';
import { CONNECTIONS_CHECK_MS, SPARE_SOCKETS_PER_ADDRESS, type GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import type { ParseBudget } from '../limits/parse-budget.ts';
import { guardSockets } from '../limits/socket-gate.ts';
import type { Metrics } from '../metrics.ts';
import { refuseRawClient, replyError, type RefusalDeps } from './error-replies.ts';
import { parseBody, requestValidation } from './request-body.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

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

/** For requests, health probes among them, next to as many streams as are allowed. */
const SPARE_CONNECTIONS = 1_024;

export interface HttpAppDeps extends RefusalDeps {
  readonly metrics: Pick<Metrics, 'countRefusedSocket'>;
}

export function createHttpApp(
  config: GatewayConfig,
  logger: FastifyBaseLogger,
  newId: () => string,
  deps: HttpAppDeps,
): HttpApp {
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: newId,
    requestIdHeader: false,
    bodyLimit: config.bodyBytesMax,
    trustProxy: config.trustedProxies.length === 0 ? false : [...config.trustedProxies],
    exposeHeadRoutes: true,
    forceCloseConnections: true,
    keepAliveTimeout: config.keepAliveTimeoutMs,
    requestTimeout: config.requestTimeoutMs,
    http: {
      // Node honours the request's limit only while it is above that of the headers.
      headersTimeout: config.headersTimeoutMs,
      requestTimeout: config.requestTimeoutMs,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      maxHeaderSize: config.headerBytesMax,
      insecureHTTPParser: false,
      requireHostHeader: true,
    },
    // Longer than any id, so that a wrong one is answered as such.
    routerOptions: { maxParamLength: 1024 },
    // Fastify refuses a malformed URL before any hook.
    frameworkErrors: (error, request, reply) => void replyError(error, request, reply.headers(SECURITY_HEADERS)),
    clientErrorHandler: (error, socket) => void refuseRawClient(error, socket, deps),
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.addHook('onRequest', async (_request, reply) => void reply.headers(SECURITY_HEADERS));
  app.setValidatorCompiler(requestValidation);
  // Answers are made from types that their schemas are made of: checking them again at run time buys nothing.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  app.server.maxConnections = config.connectionsMax + SPARE_CONNECTIONS;
  guardSockets(app.server, {
    perAddressMax: config.socketsPerAddressMax ?? config.connectionsPerAddressMax + SPARE_SOCKETS_PER_ADDRESS,
    trustedProxies: config.trustedProxies,
    onRefused: () => deps.metrics.countRefusedSocket(),
  });
  return app;
}

export function installErrorReplies(app: HttpApp): void {
  app.setErrorHandler((error, request, reply) => replyError(error, request, reply));
  app.setNotFoundHandler((request, reply) => replyError(new GatewayError('no-such-route'), request, reply));
}

/** JSON and nothing else. Fastify's own text parser goes, because a form on any page may send text/plain without a
 *  preflight; everything that is not application/json is 415. [PROTOCOL §1] */
export function installBodyParser(app: HttpApp, budget: ParseBudget): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, bytes: Buffer) =>
    parseBody(request, bytes, budget),
  );
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method !== 'GET' && request.method !== 'HEAD') request.body = {};
  });
}

/** Of a request to a `chat` route. */
export function identityOf(request: FastifyRequest): Identity {
  if (request.identity === null) throw new Error('this route was reached without its access check');
  return request.identity;
}
