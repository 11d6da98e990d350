// The Fastify application with every limit that a server on the open network needs, and nothing on it yet.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { LogController, type FastifyBaseLogger } from 'fastify';
import { refuseRawClient, replyError, type RefusalDeps } from './error-replies.ts';
import { CONNECTIONS_CHECK_MS, SPARE_SOCKETS_PER_ADDRESS, type GatewayConfig } from '../gateway-config.ts';
import type { HttpApp } from './http-app.ts';
import type { Metrics } from '../metrics.ts';
import { requestValidation } from './request-validation.ts';
import { SECURITY_HEADERS } from './security-headers.ts';
import { guardSockets } from '../limits/socket-gate.ts';

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
