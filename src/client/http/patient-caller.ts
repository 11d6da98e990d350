// Calls that are safe to repeat, repeated: while the network is away, the same call goes out again with
// back-off, at once when the device comes back, until an answer came or its patience is over. For commands
// that name what they are about (a message id, a run id), so that twice is once.
import { askedWaitMs, backOffMs } from './back-off.ts';
import { ChatClientError, ownError } from '../chat-client-error.ts';
import type { Environment } from '../environment.ts';
import type { Call, HttpApi } from './http-api.ts';

/** After this long a person wants to be asked; until then, nothing is wrong that they could mend. */
export const PATIENCE_MS = 2 * 60_000;

export class PatientCaller {
  readonly #api: Pick<HttpApi, 'call'>;
  readonly #environment: Environment;
  readonly #patienceMs: number;
  readonly #closing = new AbortController();
  /** Ends each wait there is. `asked`: the server wanted it, so the device's return does not cut it short. */
  readonly #waits = new Map<() => void, 'own' | 'asked'>();

  constructor(api: Pick<HttpApi, 'call'>, environment: Environment, patienceMs: number = PATIENCE_MS) {
    this.#api = api;
    this.#environment = environment;
    this.#patienceMs = patienceMs;
  }

  /** @throws ChatClientError the last failure, once it is final or patience is over */
  async call(call: Call): Promise<unknown> {
    const startedAt = this.#environment.now();
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#api.call({ ...call, signal: this.#closing.signal });
      } catch (error) {
        if (!(error instanceof ChatClientError) || !error.retryable) throw error;
        if (this.#environment.now() - startedAt >= this.#patienceMs) throw error;
        await this.#pause(failures, error.retryAfterMs);
      }
      if (this.#closing.signal.aborted) throw ownError('closed', 'closed before an answer came');
    }
  }

  /** The device came back: whoever waits may try now. */
  wake(): void {
    for (const [stop, why] of [...this.#waits]) if (why === 'own') stop();
  }

  /** Calls in flight and calls that wait reject with `closed`. */
  close(): void {
    this.#closing.abort();
    for (const stop of [...this.#waits.keys()]) stop();
  }

  #pause(failures: number, askedMs: number | undefined): Promise<void> {
    const random = this.#environment.random();
    const ms = askedMs === undefined ? backOffMs(failures, random) : askedWaitMs(askedMs, random);
    return new Promise((resolve) => {
      const stop = (): void => {
        cancel();
        this.#waits.delete(stop);
        resolve();
      };
      const cancel = this.#environment.after(ms, stop);
      this.#waits.set(stop, askedMs === undefined ? 'own' : 'asked');
    });
  }
}
