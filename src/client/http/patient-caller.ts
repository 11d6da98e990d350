// Repeats calls that are safe to repeat: while the network is away, the same call goes out again with back-off, and at
// once when the device comes back, until an answer came or the time is over. For commands that name their subject (a
// message id, a run id), so that two calls have the effect of one.
import { askedWaitMs, backOffMs } from './back-off.ts';
import { ChatClientError, ownError } from '../chat-client-error.ts';
import type { Environment } from '../environment.ts';
import type { Call, HttpApi } from './http-api.ts';

/** After this time the client reports the failure to the user; before that it only retries. */
export const PATIENCE_MS = 2 * 60_000;

export class PatientCaller {
  readonly #api: Pick<HttpApi, 'call'>;
  readonly #environment: Environment;
  readonly #patienceMs: number;
  readonly #closing = new AbortController();
  /** Ends a wait. `asked`: the server asked for the wait, so a returning device does not shorten it. */
  readonly #waits = new Map<() => void, 'own' | 'asked'>();

  constructor(api: Pick<HttpApi, 'call'>, environment: Environment, patienceMs: number = PATIENCE_MS) {
    this.#api = api;
    this.#environment = environment;
    this.#patienceMs = patienceMs;
  }

  /** @throws ChatClientError the last failure, once it is final or PATIENCE_MS is over */
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

  /** The device came back: waiting calls retry now. */
  wake(): void {
    for (const [stop, why] of [...this.#waits]) if (why === 'own') stop();
  }

  /** Calls in flight and waiting calls reject with `closed`. */
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
