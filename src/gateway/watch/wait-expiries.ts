// Ends the waits of runs at their time. The broker makes the record of a wait visible then, and this consumer closes
// the open inputs. Every gateway consumes, and the group gives each record to one of them.
import { delay, type Clock } from '../../base/clock.ts';
import type { Delivery, GroupBroker } from '../../broker/broker.ts';
import { isBrokerError, isRetryable } from '../../broker/errors.ts';
import type { Inputs } from '../../session/inputs.ts';
import { WAIT_EXPIRY_GROUP, WAIT_EXPIRY_PATTERN } from '../../session/topic-names.ts';
import { decodeExpiry } from '../../session/waits/wait-expiry.ts';

/** Waits that one gateway ends at once. */
const EXPIRIES_AT_ONCE = 16;
/** In ms. Ending a wait is one read and one append, so a lease is longer than both take. */
const LEASE_MS = 30_000;
/** Pause before what the storage refused is tried again. */
const RETRY_MS = 1_000;
/** The reason of the dead letter of a record that this version cannot read. */
const UNREADABLE = 'unreadable-expiry';

export interface WaitExpiriesDeps {
  readonly broker: GroupBroker & { remove(topic: Delivery['topic']): Promise<boolean> };
  readonly inputs: Pick<Inputs, 'expire'>;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

export class WaitExpiries {
  readonly #deps: WaitExpiriesDeps;
  readonly #stopped = new AbortController();
  #consuming: Promise<void> | undefined;

  constructor(deps: WaitExpiriesDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#consuming ??= this.#consume();
  }

  /** Resolves when no wait is being ended. Idempotent. */
  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#consuming;
  }

  async #consume(): Promise<void> {
    const { broker, clock, onError } = this.#deps;
    const { signal } = this.#stopped;
    const options = { credit: EXPIRIES_AT_ONCE, visibilityMs: LEASE_MS, signal };
    const active = new Set<Promise<void>>();
    while (!signal.aborted) {
      try {
        for await (const delivery of broker.consume(WAIT_EXPIRY_GROUP, WAIT_EXPIRY_PATTERN, options)) {
          const ending = this.#end(delivery).finally(() => active.delete(ending));
          active.add(ending);
        }
      } catch (error) {
        if (isBrokerError(error, 'closed')) break;
        onError(error);
        await delay(clock, RETRY_MS, signal);
      }
    }
    await Promise.all(active);
  }

  /** Never rejects. */
  async #end(delivery: Delivery): Promise<void> {
    const { inputs, onError } = this.#deps;
    try {
      const expiry = readExpiry(delivery);
      if (expiry === undefined) {
        await delivery.reject(UNREADABLE);
        return;
      }
      const leftMs = await inputs.expire(expiry);
      // This node's clock is behind that of the broker: the wait is not over yet, and nothing has failed.
      if (leftMs > 0) await delivery.nack(Math.ceil(leftMs), { count: false });
      else await this.#forget(delivery);
    } catch (error) {
      onError(error);
      await this.#giveBack(delivery, error);
    }
  }

  /** The topic holds nothing else. One that cannot be removed has a TTL. */
  async #forget(delivery: Delivery): Promise<void> {
    if (await delivery.ack()) await this.#deps.broker.remove(delivery.topic);
  }

  /** A storage that is away says nothing about the record, so that attempt is not counted. */
  async #giveBack(delivery: Delivery, cause: unknown): Promise<void> {
    try {
      await delivery.nack(RETRY_MS, { count: !isRetryable(cause) });
    } catch (error) {
      // Then the lease expires, with the same effect.
      this.#deps.onError(error);
    }
  }
}

/** Undefined for a record that this version cannot read. */
function readExpiry({ record }: Delivery): ReturnType<typeof decodeExpiry> {
  try {
    return decodeExpiry(record.data);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
