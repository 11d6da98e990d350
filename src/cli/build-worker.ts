// A worker with the agents that this process serves: each a model at its address, or the built-in demo.
import type { Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import { systemClock } from '../clock.ts';
import type { CommandLog } from '../session/command-log.ts';
import { Runs } from '../session/runs.ts';
import { CONVERSATION_CHARS_MAX, TAKEOVER_ATTEMPTS_MAX, type Agent } from '../worker/agent.ts';
import type { Provider } from '../worker/provider.ts';
import { createDemoProvider } from '../worker/providers/demo-provider.ts';
import { createOpenAiProvider } from '../worker/providers/openai-provider.ts';
import { FIRST_BYTE_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../worker/providers/upstream-limits.ts';
import type { RunOutcome } from '../worker/run.ts';
import { Worker } from '../worker/worker.ts';
import type { AgentConfig } from './agent-config.ts';
import type { Config } from './config.ts';

export interface WorkerDeps {
  readonly config: Pick<Config, 'agents' | 'runsMax' | 'leaseMs'>;
  readonly logger: Logger;
  readonly broker: BrokerEngine;
  readonly commandLog: CommandLog;
  readonly newId: () => string;
  readonly random: () => number;
  readonly onOutcome: (outcome: RunOutcome) => void;
  readonly onContinued: (chars: number) => void;
}

export function buildWorker({ config, logger, broker, commandLog, newId, random, onOutcome, onContinued }: WorkerDeps): Worker {
  const served = config.agents.filter((agent) => agent.isServed).map((agent) => toAgent(agent, random));
  return new Worker({
    broker,
    log: commandLog,
    runs: new Runs(broker, commandLog, systemClock, newId),
    clock: systemClock,
    logger,
    agents: new Map(served.map((agent) => [agent.name, agent])),
    concurrency: config.runsMax,
    leaseMs: config.leaseMs,
    onOutcome,
    onContinued,
  });
}

function toAgent(config: AgentConfig, random: () => number): Agent {
  const { model, models, promptCharsMax, systemPrompt, takeover, attemptsMax, conversationChars, answerCharsMax, concurrency } = config.entry;
  return {
    name: config.name,
    provider: toProvider(config, random),
    model,
    ...(models === undefined ? {} : { models }),
    ...(promptCharsMax === undefined ? {} : { promptCharsMax }),
    ...(systemPrompt === undefined ? {} : { systemPrompt }),
    takeover: takeover ?? 'continue',
    attemptsMax: attemptsMax ?? TAKEOVER_ATTEMPTS_MAX,
    conversationChars: conversationChars ?? CONVERSATION_CHARS_MAX,
    ...(answerCharsMax === undefined ? {} : { answerCharsMax }),
    ...(concurrency === undefined ? {} : { concurrency }),
  };
}

function toProvider({ entry, key }: AgentConfig, random: () => number): Provider {
  const { url, prefill, timeouts } = entry;
  if (url === undefined) return createDemoProvider({ clock: systemClock });
  return createOpenAiProvider({
    baseUrl: url,
    ...(key === undefined ? {} : { apiKey: key }),
    prefill: prefill ?? 'none',
    limits: { firstByteTimeoutMs: timeouts?.firstByteMs ?? FIRST_BYTE_TIMEOUT_MS, idleTimeoutMs: timeouts?.idleMs ?? IDLE_TIMEOUT_MS },
    clock: systemClock,
    random,
  });
}
