// Loads the agents of this process that are code: the modules that the file of agents names. [docs/worker-sdk.md]
import { pathToFileURL } from 'node:url';
import type { Logger } from 'pino';
import type { AgentHandler } from '../sdk/agent-handler.ts';
import { delay, systemClock } from '../base/clock.ts';
import { inScope } from '../sdk/agent-scope.ts';
import { AgentThreads } from '../sdk/threads/agent-threads.ts';
import { logStrays, logThreads } from '../sdk/describe-defect.ts';
import type { AgentConfig } from './config/agent-config.ts';
import { UsageError } from './config/environment.ts';

const LOAD_MS_MAX = 30_000;

export interface Handlers {
  /** By the name of the agent. */
  readonly byAgent: ReadonlyMap<string, AgentHandler>;
  /** Ends the threads of agents that have them. */
  close(): Promise<void>;
}

/** Loads only agents that this process serves. `onStray`: an uncaught error of a module while none of its runs is
 *  answered. @throws UsageError */
export async function loadHandlers(agents: readonly AgentConfig[], logger: Logger): Promise<Handlers> {
  const onStray = logStrays(logger);
  const threads: AgentThreads[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(threads.map((own) => own.close()));
  };
  const loading = agents.flatMap(({ name, entry: { handler, threads: threadsMax }, isServed }) => {
    if (!isServed || handler === undefined) return [];
    if (threadsMax === undefined)
      return [
        inScope({ onStray: (error) => onStray(name, error), onBlocked: () => undefined }, () => load(name, handler)),
      ];
    const own = new AgentThreads(pathToFileURL(handler), threadsMax, {
      clock: systemClock,
      onLost: logThreads(logger, name),
    });
    threads.push(own);
    return [startThreads(name, own)];
  });
  try {
    return { byAgent: new Map(await Promise.all(loading)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startThreads(name: string, threads: AgentThreads): Promise<readonly [string, AgentHandler]> {
  try {
    await threads.start();
  } catch (error) {
    throw loadFault(name, error);
  }
  return [name, threads.handler];
}

/** A module may wait forever at its top level. Then the process would end silently, or never serve. */
async function withinLimit(loading: Promise<unknown>): Promise<unknown> {
  const loaded = new AbortController();
  const late = delay(systemClock, LOAD_MS_MAX, loaded.signal).then(() => {
    if (!loaded.signal.aborted) throw new Error(`it has not finished after ${LOAD_MS_MAX / 1000} s`);
  });
  try {
    return await Promise.race([loading, late]);
  } finally {
    loaded.abort();
  }
}

async function load(name: string, path: string): Promise<readonly [string, AgentHandler]> {
  let module: { readonly agent?: unknown };
  try {
    module = (await withinLimit(import(pathToFileURL(path).href))) as typeof module;
  } catch (error) {
    throw loadFault(name, error);
  }
  if (typeof module.agent !== 'function') throw fault(name, 'exports no function named agent');
  return [name, module.agent as AgentHandler];
}

function loadFault(name: string, error: unknown): UsageError {
  return fault(
    name,
    `cannot be loaded: ${error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, ' ') : 'it threw'}`,
    error,
  );
}

function fault(name: string, what: string, cause?: unknown): UsageError {
  return new UsageError(`HOLDLINE_AGENTS: agents.${name}.handler: ${what}`, { cause });
}
