// A worker with the one agent that the configuration describes: the model at its address, or the built-in demo.
import type { Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import { systemClock } from '../clock.ts';
import { DEFAULT_AGENT } from '../gateway/gateway-config.ts';
import type { CommandLog } from '../session/command-log.ts';
import { Runs } from '../session/runs.ts';
import { TAKEOVER_ATTEMPTS_MAX, type Agent } from '../worker/agent.ts';
import { createDemoProvider } from '../worker/providers/demo-provider.ts';
import { createOpenAiProvider } from '../worker/providers/openai-provider.ts';
import type { RunOutcome } from '../worker/run.ts';
import { Worker } from '../worker/worker.ts';
import type { Config, ModelConfig } from './config.ts';

export interface WorkerDeps {
  readonly config: Pick<Config, 'model' | 'runsMax' | 'leaseMs'>;
  readonly logger: Logger;
  readonly broker: BrokerEngine;
  readonly commandLog: CommandLog;
  readonly newId: () => string;
  readonly random: () => number;
  readonly onOutcome: (outcome: RunOutcome) => void;
  readonly onContinued: (chars: number) => void;
}

export function buildWorker({ config, logger, broker, commandLog, newId, random, onOutcome, onContinued }: WorkerDeps): Worker {
  const agent = toAgent(config.model, random);
  return new Worker({
    broker,
    log: commandLog,
    runs: new Runs(broker, commandLog, systemClock, newId),
    clock: systemClock,
    logger,
    agents: new Map([[agent.name, agent]]),
    concurrency: config.runsMax,
    leaseMs: config.leaseMs,
    onOutcome,
    onContinued,
  });
}

function toAgent(model: ModelConfig, random: () => number): Agent {
  const provider =
    model.url === undefined
      ? createDemoProvider({ clock: systemClock })
      : createOpenAiProvider({
          baseUrl: model.url,
          ...(model.key === undefined ? {} : { apiKey: model.key }),
          prefill: model.prefill,
          clock: systemClock,
          random,
        });
  return {
    name: DEFAULT_AGENT,
    provider,
    model: model.name,
    ...(model.systemPrompt === undefined ? {} : { systemPrompt: model.systemPrompt }),
    takeover: model.takeover,
    attemptsMax: TAKEOVER_ATTEMPTS_MAX,
    conversationChars: model.conversationChars,
  };
}
