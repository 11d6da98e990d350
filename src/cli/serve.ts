// Puts a process together: broker, gateway, worker, admin socket; and takes it apart in the order in which
// nothing is lost. What each part does is its own business.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import { openBroker } from '../broker/open-broker.ts';
import { systemClock } from '../clock.ts';
import { buildGateway, randomId, type Gateway } from '../gateway/app.ts';
import { gatewayConfig, LOOPBACK_HOSTS, type GatewayConfig } from '../gateway/gateway-config.ts';
import { CommandLog } from '../session/command-log.ts';
import { Runs } from '../session/runs.ts';
import type { Agent } from '../worker/agent.ts';
import { TAKEOVER_ATTEMPTS_MAX } from '../worker/agent.ts';
import { createDemoProvider } from '../worker/providers/demo-provider.ts';
import { createOpenAiProvider } from '../worker/providers/openai-provider.ts';
import { Worker } from '../worker/worker.ts';
import { AdminServer } from './admin-server.ts';
import type { Config, ModelConfig } from './config.ts';
import { ownSecret } from './key-file.ts';
import { makeToken } from './token.ts';

/** The ready link of a first start. */
const LINK_TOKEN_TTL = '30d';
/** Streams are told to reconnect spread over this share of the drain time. */
const DRAIN_WINDOW_SHARE = 0.5;

/** For fairness and jitter only; this file hands it out. */
// eslint-disable-next-line no-restricted-properties -- everybody else takes it as a parameter
const random = Math.random;

export interface RunningServer {
  readonly url: string;
  /** With a token in its fragment, where the key is our own. */
  readonly link: string | undefined;
  close(): Promise<void>;
}

/** `onFatal`: the device under the log failed; the process must end so that its supervisor starts it anew. */
export async function serve(config: Config, logger: Logger, onFatal: (error: Error) => void): Promise<RunningServer> {
  const broker = await openBroker(config.broker.engine === 'memory' ? config.broker : { ...config.broker, onFatal });
  try {
    return await start(config, logger, broker);
  } catch (error) {
    await broker.close();
    throw error;
  }
}

async function start(config: Config, logger: Logger, broker: BrokerEngine): Promise<RunningServer> {
  const secret = config.auth === undefined ? ownKey(config) : undefined;
  const commandLog = new CommandLog(broker, random);
  const gateway = await buildGateway({
    config: toGatewayConfig(config, secret),
    broker,
    commandLog,
    clock: systemClock,
    random,
    logger,
    ...demoAssets(),
  });
  const worker = buildWorker(config, logger, broker, commandLog, gateway);
  const admin = config.broker.engine === 'log' ? new AdminServer(broker, logger) : undefined;
  if (config.broker.engine === 'log') await admin?.listen(config.broker.folder);
  await gateway.app.listen({ host: config.host, port: config.port });
  worker.start();
  const url = addressOf(config, gateway);
  return {
    url,
    link: secret === undefined ? undefined : `${url}/#token=${linkToken(config, secret)}`,
    close: once(async () => {
      // Tell the streams and hand over the runs at the same time; then nothing appends, and the log can close.
      const drained = gateway.drain({ windowMs: config.drainMs * DRAIN_WINDOW_SHARE, deadlineMs: config.drainMs });
      await Promise.all([drained, worker.close(), admin?.close()]);
      await gateway.app.close();
      await broker.close();
    }),
  };
}

function buildWorker(config: Config, logger: Logger, broker: BrokerEngine, log: CommandLog, gateway: Gateway): Worker {
  const agent = toAgent(config.model);
  return new Worker({
    broker,
    log,
    runs: new Runs(broker, log, systemClock, randomId),
    clock: systemClock,
    logger,
    agents: new Map([[agent.name, agent]]),
    concurrency: config.runsMax,
    onOutcome: (outcome) => gateway.metrics.countRun(outcome),
  });
}

function toAgent(model: ModelConfig): Agent {
  const provider =
    model.url === undefined
      ? createDemoProvider({ clock: systemClock })
      : createOpenAiProvider({
          baseUrl: model.url,
          ...(model.key === undefined ? {} : { apiKey: model.key }),
          clock: systemClock,
          random,
        });
  return {
    name: 'default',
    provider,
    model: model.name,
    ...(model.systemPrompt === undefined ? {} : { systemPrompt: model.systemPrompt }),
    takeover: model.takeover,
    attemptsMax: TAKEOVER_ATTEMPTS_MAX,
    conversationChars: model.conversationChars,
  };
}

function toGatewayConfig(config: Config, ownSecretBytes: Uint8Array | undefined): GatewayConfig {
  const { origins, hosts, trustedProxies, cookieSecret, connectionsPerUserMax, connectionsPerAddressMax } = config;
  const auth = config.auth ?? { keys: { kind: 'secret', secret: ownSecretBytes ?? new Uint8Array() } as const };
  return gatewayConfig({
    auth: { ...auth, ...(cookieSecret === undefined ? {} : { cookieSecret }) },
    defaultModel: config.model.name,
    origins,
    hosts: config.auth === undefined ? LOOPBACK_HOSTS : hosts,
    trustedProxies,
    ...(connectionsPerUserMax === undefined ? {} : { connectionsPerUserMax }),
    ...(connectionsPerAddressMax === undefined ? {} : { connectionsPerAddressMax }),
  });
}

function ownKey(config: Config): Uint8Array {
  return config.broker.engine === 'log' ? ownSecret(config.broker.folder) : Buffer.from(randomBytes(48).toString('base64url'));
}

function linkToken(config: Config, secret: Uint8Array): string {
  const auth = { keys: { kind: 'secret', secret } as const };
  return makeToken({ ...config, auth }, { sub: 'you', scope: 'chat', tenant: 'default', ttl: LINK_TOKEN_TTL }, systemClock.now());
}


/** The page is built next to the code. */
function demoAssets(): { demoFolder?: string } {
  const demoFolder = fileURLToPath(new URL('../web-demo', import.meta.url));
  return existsSync(demoFolder) ? { demoFolder } : {};
}

function addressOf(config: Config, gateway: Gateway): string {
  const { port } = gateway.app.server.address() as AddressInfo;
  return `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  return () => (closing ??= close());
}
