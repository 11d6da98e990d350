// Assembles a process from broker, gateway, worker and admin socket, as its role requires, and closes them in an order
// in which nothing is lost. What a part does is not decided here.
import { topicPolicies } from '../broker/topic-policy.ts';
import { chatLifetimes } from '../session/chat-lifetime.ts';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import { openServers, OPEN_SERVERS } from '../broker/redis/connection/redis-url.ts';
import { systemClock } from '../base/clock.ts';
import { createOutbound } from '../base/outbound.ts';
import { buildGateway, type Gateway } from '../gateway/app.ts';
import { gatewayConfig, LOOPBACK_HOSTS, type GatewayConfig } from '../gateway/gateway-config.ts';
import { buildHealthApp, type HealthApp } from '../gateway/health-app.ts';
import type { HttpApp } from '../gateway/http/http-app.ts';
import type { Metrics, MetricSources } from '../gateway/metrics.ts';
import { randomId, systemRandom } from '../base/random.ts';
import { flowPolicies, waitingLimits } from '../session/flow-policies.ts';
import { countWaitingRuns } from '../session/waiting-runs.ts';
import { CommandLog, type EndedRun, type QuotaOf } from '../session/commands/command-log.ts';
import { RECENT_ADDED_MAX } from '../session/commands/recent-messages.ts';
import type { Worker } from '../worker/worker.ts';
import { engineStore } from './admin/engine-store.ts';
import type { TopicStore } from './admin/admin-protocol.ts';
import { AdminServer } from './admin/admin-server.ts';
import { buildWorker, type WorkerDeps } from './build-worker.ts';
import type { Config } from './config/config.ts';
import { warnOfOpenEdge } from './config/edge-config.ts';
import { HealthLog } from './health-log.ts';
import { ownSecret } from './config/key-file.ts';
import { flowPolicy } from './config/tenants-file.ts';
import { loadHandlers, type Handlers } from './load-handlers.ts';
import { openStorage } from './open-storage.ts';
import { reportGone, reportRun } from './run-report.ts';
import { makeToken } from './token.ts';

/** Lifetime of the link that a start in a terminal prints: a link on a screen is read, copied and forgotten. */
const LINK_TOKEN_TTL = '1h';
/** Share of the drain time over which the requests to reconnect are spread. */
const DRAIN_WINDOW_SHARE = 0.5;

export interface RunningServer {
  /** The address that is served; undefined for a worker without a port for its health. */
  readonly url: string | undefined;
  /** Makes a link with a token in its fragment; undefined where the key is not our own. */
  readonly makeLink: (() => string) | undefined;
  close(): Promise<void>;
}

/** `onFatal`: the storage failed for good; the process must end, so that its supervisor restarts it. */
export async function serve(config: Config, logger: Logger, onFatal: (error: Error) => void): Promise<RunningServer> {
  const handlers = await loadHandlers(config.agents, logger);
  warnOfOpenServers(config, logger);
  const events = {
    onFatal,
    onError: (error: unknown) => logger.warn({ err: error }, 'storage work failed'),
    onWarning: (text: string) => logger.warn(text),
  };
  const limits = new Map(config.agents.map(({ name, entry }) => [name, flowPolicy(entry)]));
  const rules = { policyOf: flowPolicies(config.tenants ?? new Map(), limits) };
  const broker = await openStorage(config.broker, events, rules);
  const healthLog = new HealthLog(broker, systemClock, logger);
  try {
    const running = await (config.role === 'worker'
      ? startWorker(config, logger, broker, handlers)
      : startGateway(config, logger, broker, handlers));
    healthLog.start();
    return {
      ...running,
      close: async () => {
        healthLog.stop();
        await running.close();
        await handlers.close();
      },
    };
  } catch (error) {
    await handlers.close();
    await broker.close();
    throw error;
  }
}

function warnOfOpenServers({ broker }: Config, logger: Logger): void {
  const servers = broker.engine === 'redis' ? openServers(broker) : [];
  if (servers.length > 0) logger.warn({ servers }, OPEN_SERVERS);
}

async function startGateway(
  config: Config,
  logger: Logger,
  broker: BrokerEngine,
  handlers: Handlers,
): Promise<RunningServer> {
  const secret = config.auth === undefined ? ownKey(config) : undefined;
  const outbound = createOutbound(config.outboundProxies);
  const policyOf = topicPolicies(config.topics ?? new Map());
  const quotaOf: QuotaOf = (chat) => policyOf(chat).quota;
  const commandLog = new CommandLog(
    broker,
    systemRandom,
    (ended) => reportRun(logger, gateway.metrics, ended),
    quotaOf,
    recentAddedMax(config),
  );
  const worker =
    config.role === 'all'
      ? buildWorker({
          config,
          logger,
          broker,
          commandLog,
          handlers,
          dispatcher: outbound.dispatcher,
          newId: randomId,
          random: systemRandom,
          ...runReports(logger, () => gateway.metrics),
        })
      : undefined;
  const gateway: Gateway = await buildGateway({
    config: toGatewayConfig(config, secret),
    broker,
    commandLog,
    quotaOf,
    clock: systemClock,
    random: systemRandom,
    logger,
    fetchKeys: outbound.fetch,
    metrics: { ...(worker === undefined ? {} : workerMetrics(worker)), ...queueMetrics(broker, config.agents) },
    ...(config.edge.servesPage ? demoAssets() : {}),
  });
  const admin = config.broker.engine === 'log' ? new AdminServer(adminStore(config, broker), logger) : undefined;
  if (config.broker.engine === 'log') await admin?.listen(config.broker.folder);
  warnOfOpenEdge(config, logger);
  warnOfOpenTokens(config, logger);
  const url = await listen(gateway.app, config);
  if (gateway.probes !== undefined)
    logger.info({ url: await listenForProbes(gateway.probes, config) }, 'health and metrics have a port of their own');
  worker?.start();
  return {
    url,
    makeLink: secret === undefined ? undefined : () => `${url}/#token=${linkToken(config, secret)}`,
    close: once(async () => {
      // Drain the streams and hand over the runs at the same time. After that nothing appends, and the log can close.
      const drained = gateway.drain({ windowMs: config.drainMs * DRAIN_WINDOW_SHARE, deadlineMs: config.drainMs });
      await Promise.all([drained, worker?.close(), admin?.close()]);
      await gateway.app.close();
      await gateway.probes?.close();
      await broker.close();
    }),
  };
}

/** A gateway without configured agents does not know which there are. */
function adminStore({ agents }: Config, broker: BrokerEngine): TopicStore {
  const names = agents.map(({ name }) => name);
  return { ...engineStore(broker), ...(names.length === 0 ? {} : { agents: async () => names }) };
}

/** Nodes of version 0.1 may work on the same Redis during an update. No other node reads a data folder. */
function recentAddedMax({ broker }: Config): number {
  return broker.engine === 'redis' ? 0 : RECENT_ADDED_MAX;
}

async function startWorker(
  config: Config,
  logger: Logger,
  broker: BrokerEngine,
  handlers: Handlers,
): Promise<RunningServer> {
  const onEnded = (ended: EndedRun): void => reportRun(logger, health.metrics, ended);
  const commandLog = new CommandLog(broker, systemRandom, onEnded, () => undefined, recentAddedMax(config));
  const worker: Worker = buildWorker({
    config,
    logger,
    broker,
    commandLog,
    handlers,
    dispatcher: createOutbound(config.outboundProxies).dispatcher,
    newId: randomId,
    random: systemRandom,
    ...runReports(logger, () => health.metrics),
  });
  const health: HealthApp = buildHealthApp({
    config: toGatewayConfig(config, undefined),
    broker,
    clock: systemClock,
    logger,
    newId: randomId,
    metrics: {
      ...workerMetrics(worker),
      ...queueMetrics(
        broker,
        config.agents.filter(({ isServed }) => isServed),
      ),
    },
  });
  const url =
    config.port !== undefined
      ? await listen(health.app, config)
      : config.edge.metricsPort === undefined
        ? undefined
        : await listenForProbes(health.app, config);
  worker.start();
  return {
    url,
    makeLink: undefined,
    close: once(async () => {
      health.startDraining();
      await worker.close();
      await health.app.close();
      await broker.close();
    }),
  };
}

/** Reports of the worker about its runs. `metrics`: a function, because the metrics are made after the worker. */
function runReports(
  logger: Logger,
  metrics: () => Metrics,
): Pick<WorkerDeps, 'onOutcome' | 'onContinued' | 'onGone' | 'onDeadLetter'> {
  return {
    onOutcome: (outcome) => metrics().countRun(outcome),
    onContinued: (chars) => metrics().countContinued(chars),
    onDeadLetter: (reason) => metrics().countDeadLetter(reason),
    onGone: (gone) => reportGone(logger, metrics(), gone),
  };
}

/** Several services may share a key, and only the audience of a token names its service. */
function warnOfOpenTokens({ auth }: Config, logger: Logger): void {
  if (auth !== undefined && auth.audience === undefined) {
    logger.warn(
      { setting: 'HOLDLINE_JWT_AUDIENCE' },
      'no audience is set, so a token that was made for another service with the same key is taken',
    );
  }
}

function workerMetrics(worker: Worker) {
  return { worker: () => ({ active: worker.activeRuns, max: worker.runsMax, credits: worker.credits }) };
}

/** A gateway without configured agents does not know what to count. */
function queueMetrics(broker: BrokerEngine, agents: Config['agents']): Pick<MetricSources, 'waitingRuns'> {
  const names = agents.map(({ name }) => name);
  return names.length === 0 ? {} : { waitingRuns: () => countWaitingRuns(broker, names) };
}

function toGatewayConfig(config: Config, ownSecretBytes: Uint8Array | undefined): GatewayConfig {
  const {
    origins,
    hosts,
    publicUrl,
    trustedProxies,
    cookieSecret,
    connectionsPerUserMax,
    connectionsPerAddressMax,
    ticketsPerUserMax,
    subscriptionsPerUserMax,
    sessionsPerUserMax,
    runsPerUserMax,
    attachmentBytesMax,
    sessionAttachmentBytesMax,
    edge,
  } = config;
  const auth = config.auth ?? { keys: { kind: 'secret', secret: ownSecretBytes ?? new Uint8Array() } as const };
  return gatewayConfig({
    auth: { ...auth, ...(cookieSecret === undefined ? {} : { cookieSecret }) },
    // A gateway without configured agents does not know which agents exist, so it must not claim that there are none.
    agents:
      config.agents.length === 0
        ? undefined
        : new Map(
            config.agents.map(({ name, entry }) => [
              name,
              { ...entry, isDemo: entry.url === undefined && entry.handler === undefined },
            ]),
          ),
    sessionIds: config.sessionIds,
    origins,
    publicUrl,
    hosts: config.auth === undefined ? LOOPBACK_HOSTS : hosts,
    trustedProxies,
    socketsPerAddressMax: edge.socketsPerAddressMax,
    servesOpenapi: edge.servesOpenapi,
    hasProbePort: edge.metricsPort !== undefined,
    sessionTtlMs: config.sessionTtlMs,
    chatLifetimeOf: chatLifetimes(config.sessionTtlMs, config.topics && topicPolicies(config.topics)),
    waitingMaxOf: waitingLimits(config.tenants ?? new Map()),
    ...(connectionsPerUserMax === undefined ? {} : { connectionsPerUserMax }),
    ...(ticketsPerUserMax === undefined ? {} : { ticketsPerUserMax }),
    ...(subscriptionsPerUserMax === undefined ? {} : { subscriptionsPerUserMax }),
    ...(sessionsPerUserMax === undefined ? {} : { sessionsPerUserMax }),
    ...(runsPerUserMax === undefined ? {} : { runsPerUserMax }),
    ...(attachmentBytesMax === undefined ? {} : { attachmentBytesMax }),
    ...(sessionAttachmentBytesMax === undefined ? {} : { sessionAttachmentBytesMax }),
    ...(connectionsPerAddressMax === undefined ? {} : { connectionsPerAddressMax }),
  });
}

function ownKey(config: Config): Uint8Array {
  return config.broker.engine === 'log'
    ? ownSecret(config.broker.folder)
    : Buffer.from(randomBytes(48).toString('base64url'));
}

function linkToken(config: Config, secret: Uint8Array): string {
  const auth = { keys: { kind: 'secret', secret } as const };
  return makeToken(
    { ...config, auth },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: LINK_TOKEN_TTL },
    systemClock.now(),
  );
}

/** The page is built next to the code. */
function demoAssets(): { demoFolder?: string } {
  const demoFolder = fileURLToPath(new URL('../web-demo', import.meta.url));
  return existsSync(demoFolder) ? { demoFolder } : {};
}

async function listenForProbes(app: HttpApp, { edge: { metricsHost, metricsPort } }: Config): Promise<string> {
  return listen(app, { host: metricsHost, port: metricsPort });
}

async function listen(app: HttpApp, { host, port = 0 }: Pick<Config, 'host' | 'port'>): Promise<string> {
  await app.listen({ host, port });
  const { port: actual } = app.server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  return () => (closing ??= close());
}
