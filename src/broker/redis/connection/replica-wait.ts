// `replicated:n`: a write counts when n replicas have it. One WAIT covers all commands that were sent in one turn of
// the event loop: it follows them on the same connection, and the server answers it when the replicas have all of their
// writes.
import type { Redis } from 'ioredis';
import { BrokerError } from '../../errors.ts';

/** Shorter than the time in which a connection must answer (ANSWER_MS). */
const WAIT_MS = 2_000;

export interface Replication {
  readonly replicas: number;
  /** The server can wait for the append-only files as well (7.2 and later). */
  readonly hasWaitAof: boolean;
}

export class ReplicaWait {
  readonly #redis: Redis;
  readonly #replication: Replication;
  #thisTurn: Promise<void> | undefined;

  constructor(redis: Redis, replication: Replication) {
    this.#redis = redis;
    this.#replication = replication;
  }

  /** @throws BrokerError unavailable: too few replicas have it in time; whether they will receive it is unknown */
  forWhatWasSent(): Promise<void> {
    this.#thisTurn ??= new Promise((resolve, reject) => {
      process.nextTick(() => {
        this.#thisTurn = undefined;
        this.#wait().then(resolve, reject);
      });
    });
    return this.#thisTurn;
  }

  async #wait(): Promise<void> {
    const { replicas, hasWaitAof } = this.#replication;
    const reached = hasWaitAof ? await this.#waitAof() : await this.#redis.wait(replicas, WAIT_MS);
    if (reached < replicas)
      throw new BrokerError('unavailable', `only ${reached} of ${replicas} replicas have it in time`);
  }

  /** The number of replicas whose append-only file has it; 0 where the master's own file does not. */
  async #waitAof(): Promise<number> {
    const [local, replicas] = (await this.#redis.call('WAITAOF', 1, this.#replication.replicas, WAIT_MS)) as [
      number,
      number,
    ];
    return local < 1 ? 0 : replicas;
  }
}
