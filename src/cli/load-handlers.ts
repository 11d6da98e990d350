// The agents of this process that are code of their own: the modules that the file of agents names. [docs/worker-sdk.md]
import { pathToFileURL } from 'node:url';
import type { AgentHandler } from '../sdk/agent-handler.ts';
import { delay, systemClock } from '../clock.ts';
import { inScope } from '../sdk/agent-scope.ts';
import type { AgentConfig } from './agent-config.ts';
import { UsageError } from './usage-error.ts';

const LOAD_MS_MAX = 30_000;

/** By name of the agent. */
export type Handlers = ReadonlyMap<string, AgentHandler>;

/** Only of what is served here. `onStray`: an error that a module leaves to nobody while none of its runs is answered.
 *  @throws UsageError */
export async function loadHandlers(agents: readonly AgentConfig[], onStray: (agent: string, error: unknown) => void): Promise<Handlers> {
  const loading = agents.flatMap(({ name, entry: { handler }, isServed }) => (isServed && handler !== undefined ? [inScope({ onStray: (error) => onStray(name, error), onBlocked: () => undefined }, () => load(name, handler))] : []));
  return new Map(await Promise.all(loading));
}

/** A module that waits at its top for what never comes would let the process end without a word, or never serve. */
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
  const fault = (what: string, cause?: unknown): UsageError => new UsageError(`HOLDLINE_AGENTS: agents.${name}.handler: ${what}`, { cause });
  let module: { readonly agent?: unknown };
  try {
    module = (await withinLimit(import(pathToFileURL(path).href))) as typeof module;
  } catch (error) {
    throw fault(`cannot be loaded: ${error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, ' ') : 'it threw'}`, error);
  }
  if (typeof module.agent !== 'function') throw fault('exports no function named agent');
  return [name, module.agent as AgentHandler];
}
