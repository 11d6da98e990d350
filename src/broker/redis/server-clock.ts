// The time by which chats end, as this node knows it: the server's clock, unless that has jumped (clock-guard.ts). A
// script reads the server's clock itself, and compares it with this estimate, which advances with the node's monotonic
// clock; so a server whose clock is wrong for a while ends nothing. Leases and turns go by the server's clock alone:
// nodes that estimate differently must not take runs from each other.
import type { Clock } from '../../base/clock.ts';
import { describeJump, firstMoment, nextMoment, timeAt, type EngineMoment } from '../clock-guard.ts';
import { decodeClock } from './commands/clock.ts';
import type { RedisReply } from './connection/redis-commands.ts';

export interface ServerClockOptions {
  readonly clock: Clock;
  /** Calls the script on the first partition. */
  readonly ask: (estimate: string) => Promise<RedisReply>;
  /** The operator vouches for the server's clock. */
  readonly isTrusted: boolean;
  readonly onDoubt: (line: string) => void;
}

export class ServerClock {
  readonly #options: ServerClockOptions;
  #moment: EngineMoment | undefined;

  constructor(options: ServerClockOptions) {
    this.#options = options;
  }

  /** The estimate that is sent with every script: empty before the first look. */
  get estimate(): string {
    return this.#moment === undefined ? '' : timeAt(this.#moment, this.#options.clock.mono()).toFixed(0);
  }

  /** @throws what `ask` throws, and BrokerError corrupt */
  async look(): Promise<void> {
    const { clock, ask, isTrusted, onDoubt } = this.#options;
    const before = this.#moment;
    const { wall, recorded } = decodeClock(await ask(this.estimate));
    const moment =
      before === undefined
        ? firstMoment(recorded, wall, clock.mono(), isTrusted)
        : nextMoment(before, wall, clock.mono());
    this.#moment = moment;
    if (moment.unconfirmed !== undefined && moment.unconfirmed !== before?.unconfirmed)
      onDoubt(`Redis: ${describeJump(moment.unconfirmed, moment.mono)}`);
  }
}
