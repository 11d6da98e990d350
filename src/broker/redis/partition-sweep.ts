// Ends what nobody asks for any more: every node goes through every partition from time to time. It also lets each
// partition note that its server has got a replica (topic-lua.ts), and finds out connections that lead nowhere.
import type { Timer } from '../../base/clock.ts';
import { isBrokerError } from '../errors.ts';
import { about } from './connection/jitter.ts';
import type { RedisCommands } from './connection/redis-commands.ts';
import { decodeSweep, encodeSweep, SWEEP } from './commands/sweep.ts';

export const SWEEP_MS = 15_000;
/** Topics that one script looks at. */
const TOPICS = 100;

export class PartitionSweep {
  readonly #commands: RedisCommands;
  readonly #isKept: boolean;
  readonly #onRound: () => void;
  readonly #checkClock: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: {
    readonly commands: RedisCommands;
    readonly isKept: boolean;
    readonly onRound: () => void;
    readonly checkClock: () => Promise<void>;
    readonly onError: (error: unknown) => void;
  }) {
    this.#commands = options.commands;
    this.#isKept = options.isKept;
    this.#onRound = options.onRound;
    this.#checkClock = options.checkClock;
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

  /** One partition after the other: it is in no hurry, and others are. */
  async #round(): Promise<void> {
    this.#onRound();
    try {
      await this.#checkClock();
      for (let partition = 0; partition < this.#commands.keys.partitions; partition += 1) {
        let looked = TOPICS;
        while (looked === TOPICS && !this.#isClosed)
          looked = decodeSweep(await this.#commands.run(SWEEP, partition, encodeSweep(this.#isKept, TOPICS)));
      }
    } catch (error) {
      // The next round finds what this one left.
      if (!isBrokerError(error)) this.#onError(error);
    }
    this.#schedule();
  }
}
