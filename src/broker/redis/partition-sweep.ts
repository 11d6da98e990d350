// Ends expired topics that no request reaches: every node periodically sweeps every partition, and counts again what
// the accounts hold there when it is time. A sweep also records in each partition that its server has a replica
// (topic-lua.ts). Each round starts with a probe, which detects dead connections.
import type { Timer } from '../../base/clock.ts';
import { isBrokerError, isRetryable } from '../errors.ts';
import { about } from './connection/jitter.ts';
import type { RedisCommands } from './connection/redis-commands.ts';
import { decodeSweep, encodeSweep, SWEEP } from './commands/sweep.ts';

export const SWEEP_MS = 15_000;
/** The most topics that one script examines. */
const TOPICS = 100;

export class PartitionSweep {
  readonly #commands: RedisCommands;
  readonly #isKept: boolean;
  readonly #onRound: () => void;
  readonly #checkClock: () => Promise<void>;
  readonly #recount: (partition: number) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: {
    readonly commands: RedisCommands;
    readonly isKept: boolean;
    readonly onRound: () => void;
    readonly checkClock: () => Promise<void>;
    readonly recount: (partition: number) => Promise<void>;
    readonly onError: (error: unknown) => void;
  }) {
    this.#commands = options.commands;
    this.#isKept = options.isKept;
    this.#onRound = options.onRound;
    this.#checkClock = options.checkClock;
    this.#recount = options.recount;
    this.#onError = options.onError;
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = this.#commands.clock.after(about(SWEEP_MS), () => void this.#round());
  }

  /** Sweeps one partition after the other, so that the sweep delays no other command. */
  async #round(): Promise<void> {
    this.#onRound();
    const faults = [await faultOf(this.#checkClock())];
    for (let partition = 0; partition < this.#commands.keys.partitions && !this.#isClosed; partition += 1)
      faults.push(await faultOf(this.#sweep(partition)));
    // Only the first one: what is wrong in one partition is often wrong in all.
    const first = faults.find((fault) => fault !== undefined);
    if (first !== undefined) this.#onError(first);
    this.#schedule();
  }

  async #sweep(partition: number): Promise<void> {
    let looked = TOPICS;
    while (looked === TOPICS && !this.#isClosed)
      looked = decodeSweep(await this.#commands.run(SWEEP, partition, encodeSweep(this.#isKept, TOPICS)));
    if (!this.#isClosed) await this.#recount(partition);
  }
}

/** What no later round repairs. The server of one partition may be away while those of the others answer: the next
 *  round tries again, and the engine's health reports it. */
async function faultOf(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return isRetryable(error) || isBrokerError(error, 'closed') ? undefined : error;
  }
}
