// Whose code is running: an agent's, in everything that it starts and awaits. An error that nobody awaits is known by it to
// be that agent's, ends that agent's run, and not the process with the runs of all others.
import { AsyncLocalStorage } from 'node:async_hooks';

export interface AgentScope {
  /** An error that nobody caught or awaited. */
  readonly onStray: (error: unknown) => void;
  /** Its code kept the event loop to itself for longer than the lease of this worker. */
  readonly onBlocked: (ms: number) => void;
}

/** Costs every promise of the process a little from its first use on, and so nothing where no agent is code. */
const scopes = new AsyncLocalStorage<AgentScope | undefined>();

export function inScope<T>(scope: AgentScope, work: () => T): T {
  return scopes.run(scope, work);
}

/** Whose code is running. */
export function currentScope(): AgentScope | undefined {
  return scopes.getStore();
}

/** Work of ours that an agent's code asks for: a defect in it is ours, and must not pass for the agent's. */
export function outsideScope<T>(work: () => T): T {
  return scopes.run(undefined, work);
}

/** Gives an error that nobody awaited to the agent whose code it came from. False where it came from no agent's. To be called
 *  from the process's own events `unhandledRejection` and `uncaughtException`, which know the scope. */
export function takeStray(error: unknown): boolean {
  const scope = scopes.getStore();
  scope?.onStray(error);
  return scope !== undefined;
}

let watchers = 0;

/** For a process that is not ours: takes the stray errors of agents, and leaves all others to what the process does with them
 *  anyhow. Answers how to stop. */
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

/** Without a listener Node ends the process, and this listener must not change that. */
function leave(error: unknown, event: 'unhandledRejection' | 'uncaughtException'): void {
  if (!takeStray(error) && process.listenerCount(event) === 1) throw error;
}
