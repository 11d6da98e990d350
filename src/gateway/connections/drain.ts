// The orderly end of a node's connections. The node reports that it is not ready, then asks every connection to
// reconnect (elsewhere) and ends it, spread over a window so that the reconnects are not a storm. Connections that
// remain at the deadline are cut. No reader loses an event: a client resumes from its position.
import { delay, type Clock } from '../../base/clock.ts';
import type { Connections } from './connections.ts';
import type { Readiness } from '../readiness.ts';
import { spread } from './spread.ts';

export interface DrainOptions {
  /** The requests to reconnect are spread over this time. */
  readonly windowMs: number;
  /** Counted from the start of the drain; the remaining connections are then cut. */
  readonly deadlineMs: number;
}

/** A client waits between this and twice this before it reconnects: just long enough for a load balancer to notice. */
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

  /** Resolves when no connection is open. A second call joins the first drain. */
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
