// Builds the worker with the agents that this process serves: each one a model at its address, code of its own, or the
// built-in demo.
import type { Logger } from 'pino';
import type { Dispatcher } from 'undici';
import type { BrokerEngine } from '../broker/broker.ts';
import { systemClock } from '../base/clock.ts';
import type { CommandLog } from '../session/commands/command-log.ts';
import type { GoneRun } from '../session/commands/command-log.ts';
import { Runs } from '../session/runs.ts';
import { BlockWatch } from '../sdk/block-watch.ts';
import { logBlindness, logBlocked, logDefects } from '../sdk/describe-defect.ts';
import { createHandlerProvider } from '../sdk/handler-provider.ts';
import { CONVERSATION_CHARS_MAX, TAKEOVER_ATTEMPTS_MAX, type Agent } from '../worker/agent.ts';
import type { Provider } from '../worker/provider.ts';
import { createDemoProvider } from '../worker/providers/demo/demo-provider.ts';
import { createOpenAiProvider } from '../worker/providers/openai/openai-provider.ts';
import { FIRST_BYTE_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../worker/providers/upstream/upstream-limits.ts';
import type { RunOutcome } from '../worker/run/run-deps.ts';
import { Worker } from '../worker/worker.ts';
import { hintOf, type AgentConfig } from './config/agent-config.ts';
import type { Config } from './config/config.ts';
import type { Handlers } from './load-handlers.ts';

export interface WorkerDeps {
  readonly config: Pick<Config, 'role' | 'agents' | 'runsMax' | 'runMsMax' | 'leaseMs'>;
  readonly logger: Logger;
  readonly broker: BrokerEngine;
  readonly commandLog: CommandLog;
  readonly handlers: Handlers;
  /** Makes the connections to model servers. */
  readonly dispatcher: Dispatcher;
  readonly newId: () => string;
  readonly random: () => number;
  readonly onOutcome: (outcome: RunOutcome) => void;
  readonly onContinued: (chars: number) => void;
  readonly onGone: (gone: GoneRun) => void;
  readonly onDeadLetter: (reason: string) => void;
}

export function buildWorker({
  config,
  logger,
  broker,
  commandLog,
  handlers,
  dispatcher,
  newId,
  random,
  onOutcome,
  onContinued,
  onGone,
  onDeadLetter,
}: WorkerDeps): Worker {
  const runs = new Runs(broker, commandLog, systemClock, newId);
  const blocks = new BlockWatch(systemClock, config.leaseMs, logBlindness(logger));
  // A gateway in the same process refuses prompts to other agents. A worker alone need not know all agents.
  const known = config.role === 'all' ? { agents: new Map(config.agents.map(({ name, entry }) => [name, entry])) } : {};
  const own = {
    broker,
    runs,
    clock: systemClock,
    onDefect: logDefects(logger),
    blocks,
    onBlocked: logBlocked(logger),
    ...known,
  };
  const toProvider = (agent: AgentConfig): Provider => {
    const handler = handlers.byAgent.get(agent.name);
    return handler === undefined
      ? modelProvider(agent, dispatcher, random)
      : createHandlerProvider(agent.name, handler, own);
  };
  const served = config.agents
    .filter((agent) => agent.isServed)
    .map((agent) => toAgent(agent, toProvider(agent), config.runMsMax));
  return new Worker({
    broker,
    log: commandLog,
    runs,
    clock: systemClock,
    logger,
    agents: new Map(served.map((agent) => [agent.name, agent])),
    concurrency: config.runsMax,
    leaseMs: config.leaseMs,
    onOutcome,
    onContinued,
    onGone,
    onDeadLetter,
    hintOf: (agent, error) =>
      hintOf(
        config.agents.find(({ name }) => name === agent),
        error,
      ),
  });
}

function toAgent(config: AgentConfig, provider: Provider, runMsMax: number): Agent {
  const {
    handler,
    model,
    models,
    promptCharsMax,
    allow,
    systemPrompt,
    takeover,
    clientTools,
    attemptsMax,
    upstreamRetries,
    conversationChars,
    answerCharsMax,
    unwatchedMs,
    concurrency,
    runMsMax: ownRunMsMax,
  } = config.entry;
  return {
    name: config.name,
    provider,
    model,
    ...(models === undefined ? {} : { models }),
    ...(promptCharsMax === undefined ? {} : { promptCharsMax }),
    ...(allow === undefined ? {} : { allow }),
    ...(systemPrompt === undefined ? {} : { systemPrompt }),
    // Code has to declare that it continues a prefix. After a restart it finds its asks answered.
    takeover: takeover ?? (handler === undefined ? 'continue' : 'restart'),
    ...(clientTools === undefined ? {} : { clientTools }),
    attemptsMax: attemptsMax ?? TAKEOVER_ATTEMPTS_MAX,
    ...(upstreamRetries === undefined ? {} : { upstreamRetries }),
    runMsMax: ownRunMsMax ?? runMsMax,
    conversationChars: conversationChars ?? CONVERSATION_CHARS_MAX,
    ...(answerCharsMax === undefined ? {} : { answerCharsMax }),
    ...(unwatchedMs === undefined ? {} : { unwatchedMs }),
    ...(concurrency === undefined ? {} : { concurrency }),
  };
}

function modelProvider({ entry, key }: AgentConfig, dispatcher: Dispatcher, random: () => number): Provider {
  const { url, prefill, timeouts, sendTenant = false } = entry;
  if (url === undefined) return createDemoProvider({ clock: systemClock });
  return createOpenAiProvider({
    baseUrl: url,
    ...(key === undefined ? {} : { apiKey: key }),
    prefill: prefill ?? 'none',
    sendsTenant: sendTenant,
    dispatcher,
    limits: {
      firstByteTimeoutMs: timeouts?.firstByteMs ?? FIRST_BYTE_TIMEOUT_MS,
      idleTimeoutMs: timeouts?.idleMs ?? IDLE_TIMEOUT_MS,
    },
    clock: systemClock,
    random,
  });
}
