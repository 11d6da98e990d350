// The time by which topics expire. Between looks it goes on by the monotonic clock, so that a wall clock that is set under a
// running engine ends nothing; each look compares the two and decides by the rule in clock-guard.ts whether the wall clock is
// believed. Each look also makes the time durable: an idle log says nothing of how late it is, and the next start compares
// the wall clock with the latest time on record.
import type { Clock, Timer } from '../../../base/clock.ts';
import { CLOCK_CHECK_MS, describeJump, firstMoment, nextMoment, timeAt, type EngineMoment } from '../../clock-guard.ts';

/** What the engine does at each look at the clock. */
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

  /** `durable`: the latest time that the log or the checkpoint has on record. */
  constructor(clock: Clock, durable: number | undefined, isTrusted: boolean) {
    this.#clock = clock;
    this.#moment = firstMoment(durable, clock.now(), clock.mono(), isTrusted);
  }

  /** Whole ms since 1970. */
  now(): number {
    return Math.floor(timeAt(this.#moment, this.#clock.mono()));
  }

  /** What an operator should know of the clock, if anything. */
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
