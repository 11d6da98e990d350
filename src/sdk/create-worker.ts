// The entry of the worker SDK, `holdline/worker`: a process of your own that serves agents written in your own code to
// a gateway's users, through the Redis that both use. Exports everything public.
import { pino, type Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import { openBroker } from '../broker/open-broker.ts';
import { openServers, OPEN_SERVERS, parseRedisUrl } from '../broker/redis/connection/redis-url.ts';
import type { RedisPromise, DeclaredAppendfsync } from '../broker/redis/connection/verify-promise.ts';
import { systemClock } from '../base/clock.ts';
import { randomId, systemRandom } from '../base/random.ts';
import { CommandLog } from '../session/commands/command-log.ts';
import { Runs } from '../session/runs.ts';
import { isAgent } from '../session/session-ref.ts';
import { LEASE_MS, RUNS_MAX, Worker } from '../worker/worker.ts';
import type { AgentDefinition, AgentHandler } from './agent-handler.ts';
import { watchStrays } from './agent-scope.ts';
import type { AgentThreads } from './threads/agent-threads.ts';
import { BlockWatch } from './block-watch.ts';
import { logBlindness, logBlocked, logDefects, logThreads } from './describe-defect.ts';
import { checkThreads, toAgent, withThreads } from './handler-agent.ts';
import type { AgentRun } from './handler-provider.ts';

export { AgentError, type AgentErrorOptions } from '../worker/agent-error.ts';
export type { ContentPart, EarlierLegs, HumanAnswer, ModelMessage, Usage } from '../worker/provider.ts';
export type { AgentChat, AgentDefinition, AgentHandler } from './agent-handler.ts';
export type { AgentWriter, AskHumanOptions, HumanInput, ToolCall } from './agent-writer.ts';
export type { Ask, AskOptions } from './ask.ts';
export type { AgentRun } from './handler-provider.ts';

export interface AgentWorkerOptions {
  /** The same as the gateways': `redis://<host>:<port>`, `redis-cluster://…` or `redis-sentinel://…`. */
  readonly broker: string;
  /** What the server must guarantee, like HOLDLINE_PROMISE of the gateways. Default: `always`. */
  readonly promise?: RedisPromise;
  /** The server's appendfsync. Default: read from the server, which needs a user with access to its settings. */
  readonly appendfsync?: DeclaredAppendfsync;
  /** By name. */
  readonly agents: Readonly<Record<string, AgentHandler | AgentDefinition>>;
  /** Runs of one agent at a time, and as many subagent runs of it at each depth. */
  readonly runsMax?: number;
  /** ms without an extension after which other workers receive the runs of this one. */
  readonly leaseMs?: number;
  /** Default: warnings and errors to standard output. It logs runs and failures, never prompts or answers. */
  readonly logger?: Logger;
  /** A handler threw something other than an AgentError. Default: logs its name and stack frames, never its message,
   *  which may contain anything. */
  readonly onDefect?: (error: unknown, run: AgentRun) => void;
}

export interface AgentWorker {
  /** Resolves when it takes prompts. @throws BrokerError unavailable, invalid-config; any error of a thread's module */
  start(): Promise<void>;
  /** Takes no more prompts, hands its runs over to other workers and disconnects. Idempotent. */
  close(): Promise<void>;
}

/** @throws TypeError for options that can never work */
export function createWorker(options: AgentWorkerOptions): AgentWorker {
  const place = parseRedisUrl(options.broker);
  for (const name of Object.keys(options.agents))
    if (!isAgent(name)) throw new TypeError(`${name} is no name of an agent: [A-Za-z0-9_-]{1,48}`);
  for (const [name, agent] of Object.entries(options.agents)) checkThreads(name, agent);
  const logger = options.logger ?? pino({ level: 'warn' });
  const onError = (error: unknown): void => logger.warn({ err: error }, 'storage work failed');
  return new SdkWorker(async () => {
    const servers = openServers(place);
    if (servers.length > 0) logger.warn({ servers }, OPEN_SERVERS);
    const broker = await openBroker({
      engine: 'redis',
      ...place,
      promise: options.promise ?? 'always',
      appendfsync: options.appendfsync,
      onError,
    });
    const blocks = new BlockWatch(systemClock, options.leaseMs ?? LEASE_MS, logBlindness(logger));
    const threads: AgentThreads[] = [];
    const worker = buildWorker(options, broker, logger, blocks, threads);
    try {
      await Promise.all(threads.map((own) => own.start()));
    } catch (error) {
      await broker.close();
      throw error;
    }
    return { broker, blocks, threads, worker };
  });
}

interface Opened {
  readonly broker: BrokerEngine;
  readonly worker: Worker;
  readonly blocks: BlockWatch;
  readonly threads: readonly AgentThreads[];
}

class SdkWorker implements AgentWorker {
  readonly #open: () => Promise<Opened>;
  #opened: Promise<Opened> | undefined;
  #closed: Promise<void> | undefined;
  #unwatch: (() => void) | undefined;

  constructor(open: () => Promise<Opened>) {
    this.#open = open;
  }

  async start(): Promise<void> {
    this.#opened ??= this.#open();
    const { worker } = await this.#opened;
    this.#unwatch ??= watchStrays();
    worker.start();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#opened === undefined) return;
    const { worker, broker, blocks, threads } = await this.#opened;
    await worker.close();
    await Promise.all(threads.map((own) => own.close()));
    await blocks.close();
    await broker.close();
    this.#unwatch?.();
  }
}

function buildWorker(
  { agents, runsMax, leaseMs, onDefect }: AgentWorkerOptions,
  broker: BrokerEngine,
  logger: Logger,
  blocks: BlockWatch,
  threads: AgentThreads[],
): Worker {
  // Nodes of version 0.1 may work on the same storage during an update.
  const log = new CommandLog(broker, systemRandom, undefined, undefined, 0);
  const runs = new Runs(broker, log, systemClock, randomId);
  const deps = {
    broker,
    runs,
    clock: systemClock,
    onDefect: onDefect ?? logDefects(logger),
    blocks,
    onBlocked: logBlocked(logger),
  };
  const served = Object.entries(agents).map(
    ([name, agent]) =>
      [
        name,
        toAgent(name, withThreads(agent, { clock: systemClock, onLost: logThreads(logger, name) }, threads), deps),
      ] as const,
  );
  return new Worker({
    broker,
    log,
    runs,
    clock: systemClock,
    logger,
    agents: new Map(served),
    concurrency: runsMax ?? RUNS_MAX,
    leaseMs: leaseMs ?? LEASE_MS,
  });
}
