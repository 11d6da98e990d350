// The Fastify application: its type, what a route says about itself, and the application with every limit that a server
// on the open network needs. Bodies are JSON and nothing else, and every error goes out in one shape [PROTOCOL §1]. The
// routes and the checks before them are not on it yet.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Identity } from '../auth/identity.ts';
import { CONNECTIONS_CHECK_MS, SPARE_SOCKETS_PER_ADDRESS, type GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { guardSockets } from '../limits/socket-gate.ts';
import type { Metrics } from '../metrics.ts';
import { refuseRawClient, replyError, type RefusalDeps } from './error-replies.ts';
import { parseBody, requestValidation, type ParseBodyDeps } from './request-body.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

export type HttpApp = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** Who may call a route. `chat`, the default, requires a bearer token with that scope, so a forgotten setting fails
 *  closed; `admin` one with that scope. `own`: the route checks the credentials itself, because it accepts more kinds
 *  of them. `open`: everybody. */
export type RouteAccess = 'chat' | 'admin' | 'own' | 'open';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess;
    /** The connection ends after the answer. */
    isLast?: boolean;
    /** The token may be in the header `x-api-key`, where the clients of this wire put it. */
    acceptsApiKey?: boolean;
  }
  interface FastifyRequest {
    /** Null unless the route's access is `chat` or `admin`. */
    identity: Identity | null;
  }
}

/** Connections for requests and health probes, in addition to the allowed number of streams. */
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
      // Node applies the limit of the request only if it is above the limit of the headers.
      headersTimeout: config.headersTimeoutMs,
      requestTimeout: config.requestTimeoutMs,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      maxHeaderSize: config.headerBytesMax,
      insecureHTTPParser: false,
      requireHostHeader: true,
    },
    // Longer than any id, so that a route receives a wrong id and can refuse it.
    routerOptions: { maxParamLength: 1024 },
    // Fastify refuses a malformed URL before it runs any hook, so the headers are added here.
    frameworkErrors: (error, request, reply) => void replyError(error, request, reply.headers(SECURITY_HEADERS)),
    clientErrorHandler: (error, socket) => void refuseRawClient(error, socket, deps),
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.addHook('onRequest', async (_request, reply) => void reply.headers(SECURITY_HEADERS));
  app.setValidatorCompiler(requestValidation);
  // The types of the answers come from their schemas, so a check at run time would find nothing.
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

/** Accepts JSON bodies only; any other content type is 415. Fastify's own text parser is removed, because a form on any
 *  page can send text/plain without a preflight. [PROTOCOL §1] */
export function installBodyParser(app: HttpApp, deps: ParseBodyDeps): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, bytes: Buffer) =>
    parseBody(deps, request, bytes),
  );
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method !== 'GET' && request.method !== 'HEAD') request.body = {};
  });
}

/** The identity of a request to a route with the access `chat` or `admin`. */
export function identityOf(request: FastifyRequest): Identity {
  if (request.identity === null) throw new Error('this route was reached without its access check');
  return request.identity;
}
