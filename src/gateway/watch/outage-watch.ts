// Asks the clients of this node to reconnect after the storage has been out of reach for OUTAGE_PATIENCE_MS. Another
// node may still reach the storage and serve them. An open stream without events would hide the outage from its reader.
import type { HealthReporting } from '../../broker/health.ts';
import type { Clock } from '../../base/clock.ts';
import type { Connections } from '../connections/connections.ts';
import { spread } from '../connections/spread.ts';

/** How long streams stay open while the storage is unreachable. */
export const OUTAGE_PATIENCE_MS = 30_000;
/** The requests to reconnect are spread over this window. */
export const OUTAGE_WINDOW_MS = 10_000;
/** A client waits between this and twice this before it comes back. */
const RECONNECT_AFTER_MS = 2_000;

export interface OutageWatchDeps {
  readonly broker: HealthReporting;
  readonly connections: Connections;
  readonly clock: Clock;
  readonly random: () => number;
}

export class OutageWatch {
  readonly #deps: OutageWatchDeps;
  /** When the outage began, or the last round of requests; monotonic ms. */
  #since: number | undefined;

  constructor(deps: OutageWatchDeps) {
    this.#deps = deps;
  }

  /** Must be called regularly while connections are open. */
  look(): void {
    if (!this.#isAway()) {
      this.#since = undefined;
      return;
    }
    const { connections, clock, random } = this.#deps;
    const now = clock.mono();
    this.#since ??= now;
    if (now - this.#since < OUTAGE_PATIENCE_MS) return;
    // Connections that arrive meanwhile have the same patience.
    this.#since = now;
    spread(connections.all(), OUTAGE_WINDOW_MS, { clock, random }, (connection) => {
      if (this.#isAway()) connection.askToReconnect(Math.floor(RECONNECT_AFTER_MS * (1 + random())));
    });
  }

  #isAway(): boolean {
    return this.#deps.broker.health().state === 'unavailable';
  }
}
