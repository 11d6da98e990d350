// The appends of tokens on their way to Redis. Those that wait for one server travel in one call (append-batch.ts):
// one call is under way, and what comes meanwhile goes into the next. Appends to one topic take effect in the order in
// which they were made, in whatever way each of them travels.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Appended, TopicWrite } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { LiteTopicName } from '../lite-topic.ts';
import {
  APPEND_BATCH,
  BATCH_CHARS_MAX,
  BATCH_WRITES_MAX,
  charsOf,
  decodeBatch,
  encodeBatch,
  usualWriteOf,
  type UsualWrite,
} from './commands/append-batch.ts';
import type { RedisCommands } from './connection/redis-commands.ts';

/** The most appends of one lane that wait or are under way. Each has at most 4 K characters. */
const WRITES_MAX = 16_384;
/** A call begins this long after the one before it, or later: fewer calls with more writes. */
export const BATCH_PAUSE_MS = 5;

type Answers = readonly Appended[];
type AppendAlone = (writes: readonly TopicWrite[]) => Promise<Answers>;

export interface AppendLanesOptions {
  readonly commands: RedisCommands;
  /** By the script that has all the rules. */
  readonly appendAlone: AppendAlone;
  readonly pauseMs: number;
}

export class AppendLanes {
  readonly #options: AppendLanesOptions;
  /** By batch place (keys.ts). */
  readonly #lanes = new Map<number, AppendLane>();
  /** Appends that wait for earlier ones to the same topic. */
  readonly #held = new Map<LiteTopicName, Promise<unknown>>();

  constructor(options: AppendLanesOptions) {
    this.#options = options;
  }

  /** Not async: each token takes this path. @throws (rejects) what `appendAlone` rejects with */
  append(writes: readonly TopicWrite[]): Promise<Answers> {
    const usual = usualWriteOf(writes);
    const earlier = this.#earlier(writes, usual);
    if (earlier.length > 0) return this.#hold(writes, earlier);
    return usual === undefined ? this.#options.appendAlone(writes) : this.#laneOf(usual.topic).append(usual);
  }

  /** Resolves when no append is on its way. */
  async drained(): Promise<void> {
    while (this.#held.size > 0) await Promise.allSettled(this.#held.values());
    await Promise.all([...this.#lanes.values()].map((lane) => lane.drained()));
  }

  /** What must end before this append may be sent. A usual write joins the lane of its topic behind the others. */
  #earlier(writes: readonly TopicWrite[], usual: UsualWrite | undefined): readonly Promise<unknown>[] {
    if (usual !== undefined && this.#held.size === 0) return [];
    const earlier: Promise<unknown>[] = [];
    for (const { topic } of writes) {
      const held = this.#held.get(topic);
      if (held !== undefined) earlier.push(held);
      const lane = usual === undefined ? this.#lanes.get(this.#placeOf(topic))?.lastOf(topic) : undefined;
      if (lane !== undefined) earlier.push(lane);
    }
    return earlier;
  }

  #hold(writes: readonly TopicWrite[], earlier: readonly Promise<unknown>[]): Promise<Answers> {
    if (this.#held.size >= WRITES_MAX) return Promise.reject(tooMuch());
    const answers = Promise.allSettled(earlier).then(() => this.#options.appendAlone(writes));
    const done: Promise<void> = answers.then(
      () => this.#release(writes, done),
      () => this.#release(writes, done),
    );
    for (const { topic } of writes) this.#held.set(topic, done);
    return answers;
  }

  #release(writes: readonly TopicWrite[], done: Promise<unknown>): void {
    for (const { topic } of writes) if (this.#held.get(topic) === done) this.#held.delete(topic);
  }

  #placeOf(topic: LiteTopicName): number {
    const { keys } = this.#options.commands;
    return keys.batchPlaceOf(keys.partitionOf(topic));
  }

  #laneOf(topic: LiteTopicName): AppendLane {
    const place = this.#placeOf(topic);
    let lane = this.#lanes.get(place);
    if (lane === undefined) {
      lane = new AppendLane(place, this.#options);
      this.#lanes.set(place, lane);
    }
    return lane;
  }
}

/** One append on its way. */
class Passenger {
  readonly write: UsualWrite;
  readonly answered: Promise<Answers>;
  #resolve: ((answers: Answers | Promise<Answers>) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;

  constructor(write: UsualWrite) {
    this.write = write;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  answer(answers: Answers | Promise<Answers>): void {
    this.#resolve?.(answers);
  }

  fail(error: unknown): void {
    this.#reject?.(error);
  }
}

class AppendLane {
  readonly #place: number;
  readonly #options: AppendLanesOptions;
  readonly #clock: Clock;
  #waiting: Passenger[] = [];
  /** The last append to each topic with appends that wait or are under way. */
  readonly #last = new Map<LiteTopicName, Promise<Answers>>();
  #isCalling = false;
  #isDue = false;
  #timer: Timer | undefined;
  #calledAt = -Infinity;
  #drained: (() => void) | undefined;

  constructor(place: number, options: AppendLanesOptions) {
    this.#place = place;
    this.#options = options;
    this.#clock = options.commands.clock;
  }

  append(write: UsualWrite): Promise<Answers> {
    if (this.#last.size >= WRITES_MAX || this.#waiting.length >= WRITES_MAX) return Promise.reject(tooMuch());
    const passenger = new Passenger(write);
    this.#waiting.push(passenger);
    this.#last.set(write.topic, passenger.answered);
    this.#schedule();
    return passenger.answered;
  }

  lastOf(topic: LiteTopicName): Promise<Answers> | undefined {
    return this.#last.get(topic);
  }

  async drained(): Promise<void> {
    if (this.#last.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  #schedule(): void {
    if (this.#isDue || this.#isCalling || this.#waiting.length === 0) return;
    const pause = this.#calledAt + this.#options.pauseMs - this.#clock.mono();
    if (pause > 0 && this.#waiting.length < BATCH_WRITES_MAX) {
      this.#timer ??= this.#clock.after(pause, this.#call);
      return;
    }
    this.#isDue = true;
    this.#timer?.cancel();
    // Not in this turn: all appends of one turn of the event loop travel together.
    setImmediate(this.#call);
  }

  readonly #call = (): void => {
    this.#isDue = false;
    this.#timer = undefined;
    this.#isCalling = true;
    this.#calledAt = this.#clock.mono();
    void this.#carry(this.#board());
  };

  async #carry(passengers: readonly Passenger[]): Promise<void> {
    const { commands } = this.#options;
    const writes = passengers.map(({ write }) => write);
    const { partitions, args } = encodeBatch(writes, this.#place, commands.keys);
    const [first = this.#place, ...others] = partitions;
    try {
      this.#answer(passengers, decodeBatch(writes, await commands.run(APPEND_BATCH, first, args, others)));
    } catch (error) {
      this.#fail(passengers, error);
    }
    this.#isCalling = false;
    this.#schedule();
  }

  /** Takes what the next call has room for. */
  #board(): readonly Passenger[] {
    let [count, chars] = [0, 0];
    for (const { write } of this.#waiting) {
      chars += charsOf(write);
      if (count > 0 && (count === BATCH_WRITES_MAX || chars > BATCH_CHARS_MAX)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  #answer(passengers: readonly Passenger[], answers: readonly (Appended | undefined)[]): void {
    for (const [i, passenger] of passengers.entries()) {
      const appended = answers[i];
      if (appended === undefined) {
        this.#sendAlone(passenger);
      } else {
        passenger.answer([appended]);
        this.#forget(passenger);
      }
    }
  }

  /** Sent in this turn, and so before the next call: that may have later appends to the same topic. */
  #sendAlone(passenger: Passenger): void {
    passenger.answer(this.#options.appendAlone([passenger.write]));
    const forget = (): void => this.#forget(passenger);
    passenger.answered.then(forget, forget);
  }

  #fail(passengers: readonly Passenger[], error: unknown): void {
    for (const passenger of passengers) {
      passenger.fail(error);
      this.#forget(passenger);
    }
  }

  #forget({ write, answered }: Passenger): void {
    if (this.#last.get(write.topic) === answered) this.#last.delete(write.topic);
    if (this.#last.size === 0) this.#drained?.();
  }
}

function tooMuch(): BrokerError {
  return new BrokerError('overloaded', 'too much is on its way to Redis');
}
