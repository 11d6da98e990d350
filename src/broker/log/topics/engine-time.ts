// The time by which topics expire. Between checks it advances by the monotonic clock, so that a wall clock that is set
// under a running engine ends nothing. Each check compares the two clocks and decides by the rule in clock-guard.ts
// whether to follow the wall clock. Each check also makes the time durable: an idle log does not show how late it is,
// and the next start compares the wall clock with the latest recorded time.
import type { Clock, Timer } from '../../../base/clock.ts';
import { CLOCK_CHECK_MS, describeJump, firstMoment, nextMoment, timeAt, type EngineMoment } from '../../clock-guard.ts';

/** What the engine does at each check of the clock. */
export interface TimeEvents {
  /** Makes the time durable. Rejects only with an error that ends the engine. */
  recordTime(time: number): Promise<void>;
  /** The time has jumped: timers that were set by the old time are void. */
  timeJumped(): void;
  timeFailed(error: unknown): void;
}

export class EngineTime {
  readonly #clock: Clock;
  #moment: EngineMoment;
  #timer: Timer | undefined;
  #recording: Promise<void> = Promise.resolve();

  /** `durable`: the latest time that the log or the checkpoint has recorded. */
  constructor(clock: Clock, durable: number | undefined, isTrusted: boolean) {
    this.#clock = clock;
    this.#moment = firstMoment(durable, clock.now(), clock.mono(), isTrusted);
  }

  /** Whole ms since 1970. */
  now(): number {
    return Math.floor(timeAt(this.#moment, this.#clock.mono()));
  }

  /** What an operator should know about the clock, if anything. */
  get notice(): string | undefined {
    const { unconfirmed } = this.#moment;
    return unconfirmed && describeJump(unconfirmed, this.#clock.mono());
  }

  watch(engine: TimeEvents): void {
    this.#timer = this.#clock.after(CLOCK_CHECK_MS, () => {
      this.#check(engine);
      this.watch(engine);
    });
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#recording;
  }

  #check(engine: TimeEvents): void {
    const before = this.#moment;
    this.#moment = nextMoment(before, this.#clock.now(), this.#clock.mono());
    if (before.unconfirmed !== undefined && this.#moment.unconfirmed === undefined) engine.timeJumped();
    this.#recording = engine.recordTime(this.now()).catch((error: unknown) => engine.timeFailed(error));
  }
}
