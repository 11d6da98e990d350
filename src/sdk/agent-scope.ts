// Attributes running code to the agent that started it, across everything that it awaits. So an error that nobody
// caught ends the run of that agent, and not the process with the runs of all others.
import { AsyncLocalStorage } from 'node:async_hooks';

export interface AgentScope {
  /** Receives an error that nobody caught or awaited. */
  readonly onStray: (error: unknown) => void;
  /** The agent's code blocked the event loop for longer than the worker's lease. */
  readonly onBlocked: (ms: number) => void;
}

/** Slows every promise of the process a little, but only from its first use on: no cost where no agent is code. */
const scopes = new AsyncLocalStorage<AgentScope | undefined>();

export function inScope<T>(scope: AgentScope, work: () => T): T {
  return scopes.run(scope, work);
}

/** The scope of the code that is running. */
export function currentScope(): AgentScope | undefined {
  return scopes.getStore();
}

/** Runs our own work on behalf of an agent's code: a defect in it must not count as the agent's. */
export function outsideScope<T>(work: () => T): T {
  return scopes.run(undefined, work);
}

/** Passes an error that nobody caught to the agent whose code threw it; false where it was no agent's code. Call it
 *  from the process events `unhandledRejection` and `uncaughtException`, which carry the scope. */
export function takeStray(error: unknown): boolean {
  const scope = scopes.getStore();
  scope?.onStray(error);
  return scope !== undefined;
}

let watchers = 0;

/** For a process that is not ours: handles the uncaught errors of agents, and leaves all others to the process.
 *  Returns a function that stops it. */
export function watchStrays(): () => void {
  watchers += 1;
  if (watchers === 1) {
    process.on('unhandledRejection', onRejection);
    process.on('uncaughtException', onException);
  }
  let isWatching = true;
  return () => {
    if (!isWatching) return;
    isWatching = false;
    watchers -= 1;
    if (watchers > 0) return;
    process.off('unhandledRejection', onRejection);
    process.off('uncaughtException', onException);
  };
}

function onRejection(error: unknown): void {
  leave(error, 'unhandledRejection');
}

function onException(error: unknown): void {
  leave(error, 'uncaughtException');
}

/** Without a listener Node ends the process. This listener must not change that for other errors. */
function leave(error: unknown, event: 'unhandledRejection' | 'uncaughtException'): void {
  if (!takeStray(error) && process.listenerCount(event) === 1) throw error;
}
