// A storage that stays out of this node's reach: its streams wait for a while, and then are told to come back, wherever
// that may be, because perhaps only this node cannot reach it, and a stream that is silent for ever tells nobody anything.
import type { HealthReporting } from '../../broker/broker.ts';
import type { Clock } from '../../base/clock.ts';
import type { Connections } from '../connections/connections.ts';
import { spread } from '../connections/spread.ts';

/** Streams wait this long for the storage. */
export const OUTAGE_PATIENCE_MS = 30_000;
/** Over which they are then sent away. */
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
  /** By the monotonic clock. */
  #since: number | undefined;

  constructor(deps: OutageWatchDeps) {
    this.#deps = deps;
  }

  /** To be called from time to time while connections are open. */
  look(): void {
    if (!this.#isAway()) {
      this.#since = undefined;
      return;
    }
    const { connections, clock, random } = this.#deps;
    const now = clock.mono();
    this.#since ??= now;
    if (now - this.#since < OUTAGE_PATIENCE_MS) return;
    // Those that come meanwhile are given as long.
    this.#since = now;
    spread(connections.all(), OUTAGE_WINDOW_MS, { clock, random }, (connection) => {
      if (this.#isAway()) connection.askToReconnect(Math.floor(RECONNECT_AFTER_MS * (1 + random())));
    });
  }

  #isAway(): boolean {
    return this.#deps.broker.health().state === 'unavailable';
  }
}
