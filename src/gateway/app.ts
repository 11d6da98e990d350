// Assembles the gateway: Fastify with its limits, the checks of every request, and the routes. It does not listen; the
// caller owns the broker and the process. The order of the steps matters in this file.
import fastifySwagger from '@fastify/swagger';
import fastifyWebsocket from '@fastify/websocket';
import type { Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import type { Clock } from '../base/clock.ts';
import { randomId } from '../base/random.ts';
import type { CommandLog, QuotaOf } from '../session/commands/command-log.ts';
import type { FetchKeys } from './auth/remote-jwk-set.ts';
import { Drain, type DrainOptions } from './connections/drain.ts';
import { guardEdge } from './http/edge-guard.ts';
import type { GatewayConfig } from './gateway-config.ts';
import { buildParts, type GatewayParts } from './gateway-parts.ts';
import { buildProbeApp } from './health-app.ts';
import { createHttpApp, installBodyParser, installErrorReplies, type HttpApp } from './http/http-app.ts';
import type { Metrics, MetricSources } from './metrics.ts';
import { answerExpectations } from './bodies/expected-bodies.ts';
import { dropUnreadBodies } from './bodies/unread-bodies.ts';
import { cutUnreadAnswers } from './http/page-reads.ts';
import { mountAgUi } from './mounts/ag-ui/ag-ui-mount.ts';
import { mountA2a } from './mounts/a2a/a2a-mount.ts';
import { mountLangGraph } from './mounts/langgraph/langgraph-routes.ts';
import { mountMcp } from './mounts/mcp/mcp-routes.ts';
import { pausesRoutes } from './admin/pauses-routes.ts';
import { mountDurableStreams } from './mounts/durable-streams/durable-streams-mount.ts';
import { mountStreamViews } from './mounts/stream-views/stream-views-mount.ts';
import { mountAiSdk } from './mounts/ai-sdk/ai-sdk-mount.ts';
import { mountOpenai } from './mounts/openai/openai-mount.ts';
import { agentsRoutes } from './routes/agents.ts';
import { attachmentsRoutes } from './attachments/attachments-routes.ts';
import { inputsRoutes } from './inputs/inputs-routes.ts';
import { branchesRoutes } from './routes/branches.ts';
import { cancelRoutes } from './routes/cancel.ts';
import { cursorsRoutes } from './routes/cursors.ts';
import { eventsRoutes } from './routes/events.ts';
import { healthRoutes, metricsRoutes } from './routes/health.ts';
import { messagesRoutes } from './routes/messages.ts';
import { OPENAPI_INFO, openapiRoutes } from './routes/openapi.ts';
import { pageRoutes } from './routes/page.ts';
import { runsRoutes } from './routes/runs.ts';
import { sessionsRoutes } from './routes/sessions.ts';
import { upgradesFor } from './http/upgrades.ts';
import { socketRoutes, SUBPROTOCOL } from './routes/socket.ts';
import { textRoutes } from './routes/text.ts';
import { ticketsRoutes } from './routes/tickets.ts';

export interface GatewayDeps {
  readonly config: GatewayConfig;
  readonly broker: BrokerEngine;
  readonly clock: Clock;
  /** Returns a random number from 0 (inclusive) to 1 (exclusive). The gateway uses it only to spread reconnects and
   *  retries over time, so the number may be predictable. */
  readonly random: () => number;
  readonly logger: Logger;
  readonly commandLog: CommandLog;
  /** What the tenant of a chat may hold, its durable streams included. Default: no limit. */
  readonly quotaOf?: QuotaOf;
  /** At least 128 random bits in `[A-Za-z0-9_-]`. Default: `randomId`. */
  readonly newId?: () => string;
  /** Figures of other parts of the process. */
  readonly metrics?: MetricSources;
  /** The folder of the demo page that `/` serves. */
  readonly demoFolder?: string;
  /** Fetches a JWK set. Default: the platform's fetch. */
  readonly fetchKeys?: FetchKeys;
}

export interface Gateway {
  /** The caller makes it listen. Closing it cuts the remaining connections, so drain first. */
  readonly app: HttpApp;
  /** Health and metrics for a port of their own, if the configuration has one. */
  readonly probes: HttpApp | undefined;
  /** A worker in this process counts its runs here. */
  readonly metrics: Metrics;
  /** Asks every connection to reconnect, spread over a window, and resolves when none is left. Idempotent. */
  drain(options: DrainOptions): Promise<void>;
}

/** @throws InvalidKeyError */
export async function buildGateway(deps: GatewayDeps): Promise<Gateway> {
  const { config, clock, random } = deps;
  const newId = deps.newId ?? randomId;
  const parts = buildParts({ ...deps, newId });
  const app = createHttpApp(config, deps.logger, newId, parts);
  await app.register(fastifySwagger, OPENAPI_INFO);
  await app.register(fastifyWebsocket, {
    options: {
      server: upgradesFor(app, parts),
      maxPayload: config.wsPayloadBytesMax,
      maxFragments: config.wsFragmentsMax,
      maxBufferedChunks: config.wsBufferedChunksMax,
      perMessageDeflate: false,
      handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    },
    // The hook below ends the sockets. The plugin's own would wait until each client answers its close.
    preClose: (done: () => void) => done(),
    errorHandler: (error, socket) => {
      parts.onDefect(error);
      socket.terminate();
    },
  });
  installErrorReplies(app);
  installBodyParser(app, parts);
  guardEdge(app, parts);
  cutUnreadAnswers(app, config.unreadMs);
  answerExpectations(app);
  dropUnreadBodies(app, parts);
  app.addHook('onResponse', async (request, reply) =>
    parts.metrics.onRequest(request.routeOptions.url ?? 'none', reply.statusCode),
  );
  await addRoutes(app, parts, deps.demoFolder);
  app.addHook('onReady', async () => {
    await parts.pauses.start();
    parts.waitExpiries.start();
    parts.readiness.startServing();
  });
  app.addHook('preClose', async () => parts.cutConnections());
  app.addHook('onClose', async () => parts.close());
  const drain = new Drain({ ...parts, clock, random });
  const probes = config.hasProbePort ? buildProbeApp({ ...parts, logger: deps.logger }) : undefined;
  return { app, probes, metrics: parts.metrics, drain: (options) => drain.run(options) };
}

async function addRoutes(app: HttpApp, parts: GatewayParts, demoFolder: string | undefined): Promise<void> {
  agentsRoutes(app, parts);
  sessionsRoutes(app, parts);
  messagesRoutes(app, parts);
  await attachmentsRoutes(app, parts);
  branchesRoutes(app, parts.commands);
  cancelRoutes(app, parts.commands);
  inputsRoutes(app, parts.commands);
  runsRoutes(app, parts);
  cursorsRoutes(app, parts);
  ticketsRoutes(app, parts);
  eventsRoutes(app, parts);
  textRoutes(app, parts);
  await mountA2a(app, parts);
  await mountAgUi(app, parts);
  await mountLangGraph(app, parts);
  await mountMcp(app, parts);
  await mountAiSdk(app, parts);
  await mountOpenai(app, parts);
  pausesRoutes(app, parts);
  socketRoutes(app, parts);
  await mountDurableStreams(app, parts);
  await mountStreamViews(app, parts);
  healthRoutes(app, parts);
  if (!parts.config.hasProbePort) metricsRoutes(app, parts);
  if (parts.config.servesOpenapi) openapiRoutes(app);
  await pageRoutes(app, demoFolder);
}
