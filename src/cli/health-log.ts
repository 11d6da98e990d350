// Logs when the storage becomes unavailable and when it is back: once each, however many parts of the process are
// affected. A storage is unavailable when two looks in a row say so: on Redis, a connection that is just being opened
// is not ready at one look. Also logs the storage's notices to the operator, at their beginning and end.
import type { Logger } from 'pino';
import type { BrokerHealth, HealthReporting } from '../broker/health.ts';
import type { Clock, Timer } from '../base/clock.ts';

const LOOK_MS = 1_000;
const DEGRADED = 'the storage is degraded: records of some topics cannot be read back; everything else is served';

export class HealthLog {
  readonly #broker: HealthReporting;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** At the last look. */
  #seen: BrokerHealth['state'] = 'ready';
  /** As the log says. */
  #state: BrokerHealth['state'] = 'ready';
  #hasNotice = false;
  #timer: Timer | undefined;

  constructor(broker: HealthReporting, clock: Clock, logger: Logger) {
    this.#broker = broker;
    this.#clock = clock;
    this.#logger = logger;
  }

  start(): void {
    this.#look();
    this.#timer = this.#clock.after(LOOK_MS, () => this.start());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const { state, notice } = this.#broker.health();
    if ((notice !== undefined) !== this.#hasNotice) {
      this.#hasNotice = notice !== undefined;
      if (notice === undefined) this.#logger.warn('the clock and the recorded time agree again');
      else this.#logger.error(notice);
    }
    const isLasting = state !== 'unavailable' || this.#seen === state;
    this.#seen = state;
    if (state === this.#state || !isLasting) return;
    this.#state = state;
    if (state === 'ready') this.#logger.warn('the storage is back');
    else if (state === 'degraded') this.#logger.error(DEGRADED);
    else this.#logger.error(`the storage is ${state}`);
  }
}
