// Logs the work of a worker that the storage failed. Every run meets the same outage, and each of them tries again: a
// kind of work that the storage refuses for now is logged once, until work of that kind succeeds.
import type { Logger } from 'pino';
import { isBrokerError, isRetryable } from '../broker/errors.ts';

/** The kinds of work, as their messages in the log. */
export type FailedWork =
  | 'requests could not be consumed'
  | 'a run could not be served'
  | 'a request could not be given back'
  | 'a lease could not be extended'
  | 'the TTL of a consumed request could not be shortened'
  | 'a run request is not JSON'
  | 'the run of a dead letter could not be ended'
  | 'the parent run of a run could not be watched'
  | 'the presence of readers could not be read';

type LogFields = Readonly<Record<string, string | undefined>>;

export class FailureLog {
  readonly #logger: Logger;
  readonly #refused = new Set<FailedWork>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  failed(work: FailedWork, error: unknown, fields: LogFields = {}): void {
    const line = { err: error, ...fields };
    // The process logs that the storage is unavailable (health-log.ts).
    if (isBrokerError(error, 'unavailable')) this.#logger.debug(line, work);
    else if (!isRetryable(error)) this.#logger.error(line, work);
    else if (this.#refused.has(work)) this.#logger.debug(line, work);
    else {
      this.#refused.add(work);
      this.#logger.warn(line, work);
    }
  }

  succeeded(work: FailedWork): void {
    this.#refused.delete(work);
  }
}
