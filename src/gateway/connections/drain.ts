// The orderly end of a node: not ready, then every connection is told when to come back (elsewhere) and ended,
// spread over a window so that their return is no storm, and what is left at the deadline is cut. Nothing is
// lost by any of it: a connection is only a cursor.
import { delay, type Clock } from '../../base/clock.ts';
import type { Connections } from './connections.ts';
import type { Readiness } from '../readiness.ts';
import { spread } from './spread.ts';

export interface DrainOptions {
  /** Over which the connections are sent away. */
  readonly windowMs: number;
  /** After which those that have not gone are cut; counted from the start. */
  readonly deadlineMs: number;
}

/** A client waits between this and twice this before it comes back: just long enough for a load balancer to notice. */
export const RECONNECT_AFTER_MS = 250;

export interface DrainDeps {
  readonly connections: Connections;
  readonly readiness: Readiness;
  readonly clock: Clock;
  readonly random: () => number;
}

export class Drain {
  readonly #deps: DrainDeps;
  #running: Promise<void> | undefined;

  constructor(deps: DrainDeps) {
    this.#deps = deps;
  }

  /** Resolves when no connection is open. Asked again, it is the same drain. */
  run(options: DrainOptions): Promise<void> {
    this.#running ??= this.#run(options);
    return this.#running;
  }

  async #run({ windowMs, deadlineMs }: DrainOptions): Promise<void> {
    const { connections, readiness, clock, random } = this.#deps;
    readiness.startDraining();
    const gone = connections.emptied();
    const open = connections.all();
    const timers = spread(open, windowMs, { clock, random }, (connection) =>
      connection.askToReconnect(afterMs(random)),
    );
    const emptied = new AbortController();
    const deadline = delay(clock, deadlineMs, emptied.signal).then(() => connections.destroyAll());
    await gone;
    emptied.abort();
    await deadline;
    for (const timer of timers) timer.cancel();
  }
}

export function afterMs(random: () => number): number {
  return Math.floor(RECONNECT_AFTER_MS * (1 + random()));
}
