// Ends expired topics: one timer, set to the earliest expiry, and a sweep over all topics in memory and then, in order
// of time, over the index. The sweep works in bounded slices, and goes no faster than the log and the checkpoints can
// follow: the ends of a million topics must hold neither the event loop nor the memory. A write to a topic moves no
// entry, neither in a list nor in the index: the sweep checks the topic when its old time comes. The sweep does not end
// a topic that a group has yet to consume, or that has frames that are not durable yet. It checks the topic again when
// the group has consumed it, or when all its frames are durable or refused. It extends the life of a topic that its
// readers keep. A hard maximum ends a topic whatever holds it.
import type { Clock, Timer } from '../../../base/clock.ts';
import { TurnSlice, type SliceLimits } from '../../../base/turn-slice.ts';
import { TOMBSTONE_MS } from '../../broker.ts';
import { expiryAfter, hasEnded, isKeptByReaders, readerTtl } from '../../lifetime.ts';
import type { EngineTime } from './engine-time.ts';
import type { TopicIndex } from './topic-index.ts';
import type { TopicTable } from './topic-table.ts';
import type { Topic } from './topic.ts';

/** The least time between two sweeps, so that topics that expire one by one share a sweep. */
const SWEEP_INTERVAL_MS = 10;
/** When the sweep is repeated after refused writes (a full device). */
const EXPIRY_RETRY_MS = 1000;
/** Ends that are not durable yet, at which the sweep waits. They share a few batches of the log, and all ends of a
 *  batch become visible in one turn of the event loop. */
const ENDS_MAX = 256;

/** What the engine decides and does about a topic whose time is up. */
export interface ExpiryRules {
  /** A group has records of the topic to consume: it must not expire yet. */
  isHeld(topic: Topic): boolean;
  /** Makes durable that the topic's TTL begins again. */
  extend(topic: Topic): Promise<void>;
  /** Resolves when the topic's end is durable. @throws BrokerError disk-full, failed, overloaded, closed */
  expire(topic: Topic): Promise<void>;
  /** Resolves when the checkpoints have room for more changed topics. */
  whenRoom(): Promise<void>;
  sweepFailed(error: unknown): void;
}

export class Expiry {
  readonly #clock: Clock;
  readonly #time: EngineTime;
  readonly #table: TopicTable;
  readonly #index: TopicIndex;
  readonly #slice: TurnSlice;
  readonly #engine: ExpiryRules;
  #timer: { readonly at: number; readonly timer: Timer } | undefined;
  #sweptAt = 0;
  /** When the last reader left a topic that had frames on their way to the disk, until all of them are durable or
   *  refused. */
  readonly #leftAt = new Map<Topic, number>();
  #sweeping = false;
  /** Ends that are not durable yet. */
  #ending = 0;
  #onEnded: (() => void) | undefined;
  /** The time for which `#finish` sets the timer: the earliest that the running sweep found, or that was requested
   *  during it. */
  #earliest = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(
    clock: Clock,
    time: EngineTime,
    topics: { readonly table: TopicTable; readonly index: TopicIndex; readonly limits: SliceLimits },
    engine: ExpiryRules,
  ) {
    this.#clock = clock;
    this.#time = time;
    this.#table = topics.table;
    this.#index = topics.index;
    this.#slice = new TurnSlice(clock, topics.limits);
    this.#engine = engine;
  }

  /** Notes that a topic may be due at `at`, in the engine's time. */
  arm(at: number): void {
    if (this.#sweeping) {
      this.#checkAgainAt(at);
      return;
    }
    if (this.#closed || (this.#timer !== undefined && this.#timer.at <= at)) return;
    this.#timer?.timer.cancel();
    const wait = Math.max(at, this.#sweptAt + SWEEP_INTERVAL_MS) - this.#time.now();
    this.#timer = { at, timer: this.#clock.after(Math.max(0, wait), () => this.sweep()) };
  }

  /** All frames of the topic are durable. Until now no sweep could end it. */
  settled(topic: Topic): void {
    if (this.#leftAt.size > 0) this.#settleLeft(topic);
    const at = extensionOf(topic) ?? endOf(topic);
    if (at !== undefined) this.arm(at);
  }

  /** All frames of the topic that were not durable were refused. Its end may be among them: a sweep at once would be
   *  refused again. */
  refused(topic: Topic): void {
    if (this.#leftAt.size > 0) this.#settleLeft(topic);
    const at = endOf(topic);
    if (at !== undefined) this.arm(Math.max(at, this.#time.now() + EXPIRY_RETRY_MS));
  }

  #settleLeft(topic: Topic): void {
    const leftAt = this.#leftAt.get(topic);
    this.#leftAt.delete(topic);
    if (leftAt !== undefined && topic.waiting === 0) this.#countFrom(topic, leftAt);
  }

  isDue(topic: Topic, now = this.#time.now()): boolean {
    const at = topic.pending?.expiresAt;
    // While frames of the topic are on their way to the disk, the groups' lag is not known yet: ending the topic would
    // drop a record whose append is then acknowledged.
    if (at === undefined || at > now || topic.waiting > 0) return false;
    return hasEnded(topic.pending?.life, now) || (!isWatched(topic) && !this.#engine.isHeld(topic));
  }

  /** The topic has a reader more. */
  attached(topic: Topic): void {
    const at = extensionOf(topic);
    if (at !== undefined) this.arm(at);
  }

  /** The topic has a reader less. */
  detached(topic: Topic): void {
    if (topic.hasReaders || !isKeptByReaders(topic.pending?.life)) return;
    if (topic.waiting > 0) this.#leftAt.set(topic, this.#time.now());
    else this.#countFrom(topic, this.#time.now());
  }

  /** The topic's last reader left at `leftAt`. */
  #countFrom(topic: Topic, leftAt: number): void {
    const { life, ttlMs, expiresAt = 0 } = topic.pending ?? {};
    const at = isKeptByReaders(life) ? expiryAfter(life, ttlMs, leftAt) : undefined;
    if (at === undefined || at <= expiresAt) return;
    topic.expireAt(at);
    this.#table.touch(topic);
    this.arm(at);
  }

  /** The engine's time has jumped: the timer was set by the old time. */
  restart(): void {
    this.#sweptAt = 0;
    if (this.#closed || this.#sweeping) return;
    this.#timer?.timer.cancel();
    this.sweep();
  }

  sweep(): void {
    this.#timer = undefined;
    if (this.#closed || this.#sweeping) return;
    this.#sweeping = true;
    this.#earliest = Number.POSITIVE_INFINITY;
    this.#slice.begin();
    this.#sweepAll(this.#time.now()).catch((error: unknown) => {
      this.#finish();
      this.#engine.sweepFailed(error);
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.timer.cancel();
  }

  async #sweepAll(now: number): Promise<void> {
    for (const topic of this.#table.loadedTopics()) {
      this.#examineLoaded(topic, now);
      if (this.#isSliceOver()) await this.#nextSlice();
      if (this.#closed) return;
    }
    for (let after: Buffer | undefined = Buffer.alloc(0); after !== undefined;) {
      after = this.#sweepIndex(now, after);
      if (after !== undefined) await this.#nextSlice();
      if (this.#closed) return;
    }
    this.#finish();
  }

  #isSliceOver(): boolean {
    return this.#slice.isOver() || this.#ending >= ENDS_MAX;
  }

  async #nextSlice(): Promise<void> {
    await this.#engine.whenRoom();
    while (this.#ending >= ENDS_MAX) await new Promise<void>((resolve) => (this.#onEnded = resolve));
    // Last: the turn in which a batch becomes visible has work enough.
    await this.#slice.next();
  }

  #examineLoaded(topic: Topic, now: number): void {
    const at = endOf(topic);
    if (at === undefined) return;
    const extendAt = extensionOf(topic) ?? at;
    if (extendAt > now) this.#checkAgainAt(extendAt);
    else if (topic.pending === undefined) this.#forget(topic);
    else if (this.isDue(topic, now)) this.#expire(topic);
    else this.#hold(topic);
  }

  /** The topic's time is up, or nearly up, and something holds it. */
  #hold(topic: Topic): void {
    const endsAt = topic.pending?.life?.endsAt;
    if (endsAt !== undefined) this.#checkAgainAt(endsAt);
    if (!isWatched(topic) || topic.waiting > 0) return;
    this.#engine.extend(topic).catch(() => this.arm(this.#time.now() + EXPIRY_RETRY_MS));
  }

  #expire(topic: Topic): void {
    this.#ending += 1;
    this.#engine
      .expire(topic)
      // The reason is on record where it arose. The sweep is repeated for a full device; a failed one ends the process.
      .catch(() => this.arm(this.#time.now() + EXPIRY_RETRY_MS))
      .finally(() => this.#ended());
  }

  #ended(): void {
    this.#ending -= 1;
    this.#onEnded?.();
    this.#onEnded = undefined;
  }

  /** Examines one slice. Returns the last key if there may be more. */
  #sweepIndex(now: number, after: Buffer): Buffer | undefined {
    for (const { key, at, name } of this.#index.expiryAfter(after)) {
      if (at > now) {
        this.#checkAgainAt(at);
        return undefined;
      }
      this.#examine(name, at, now);
      if (this.#isSliceOver()) return key;
    }
    return undefined;
  }

  /** Checks a topic whose time in the index has come. The next checkpoint moves a topic that was written to since. */
  #examine(name: Topic['name'], indexedAt: number, now: number): void {
    const loaded = this.#table.loaded(name);
    if (loaded?.visible !== undefined) {
      if (loaded.indexedAt === indexedAt && loaded.visible.expiresAt !== indexedAt) this.#table.touch(loaded);
      // A reader may have loaded the topic after this sweep checked the topics in memory. Nothing else would end it, or
      // set the timer to its time.
      if (this.isDue(loaded, now)) this.#expire(loaded);
      const expiresAt = loaded.pending?.expiresAt ?? 0;
      if (expiresAt > now) this.#checkAgainAt(expiresAt);
      return;
    }
    const topic = this.#table.find(name);
    if (topic === undefined) return;
    const { visible, tombstone } = topic;
    const at = visible === undefined ? (tombstone?.at ?? Infinity) + TOMBSTONE_MS : (visible.expiresAt ?? Infinity);
    if (at > now) {
      this.#table.touch(topic);
      this.#checkAgainAt(at);
    } else if (topic.visible === undefined) this.#forget(topic);
    else if (this.isDue(topic)) this.#expire(topic);
    else this.#hold(topic);
  }

  /** Drops an old tombstone. It leaves the index with the next checkpoint. */
  #forget(topic: Topic): void {
    if (topic.waiting > 0) return;
    topic.tombstone = undefined;
    this.#table.touch(topic);
  }

  /** A sweep is running. */
  #checkAgainAt(at: number): void {
    this.#earliest = Math.min(this.#earliest, at);
  }

  #finish(): void {
    this.#sweeping = false;
    this.#sweptAt = this.#time.now();
    if (this.#earliest !== Number.POSITIVE_INFINITY) this.arm(this.#earliest);
  }
}

/** A reader keeps the topic. */
function isWatched({ pending, hasReaders }: Topic): boolean {
  return hasReaders && isKeptByReaders(pending?.life);
}

/** When the life of a topic that a reader keeps is extended: early enough that a crash leaves it half of its TTL. The
 *  hard maximum is not moved by any extension. Undefined if no reader keeps the topic. */
function extensionOf(topic: Topic): number | undefined {
  const { expiresAt, ttlMs, life } = topic.pending ?? {};
  if (expiresAt === undefined || ttlMs === undefined || !isWatched(topic)) return undefined;
  return expiresAt === life?.endsAt ? expiresAt : expiresAt - readerTtl(ttlMs) / 2;
}

/** When the topic expires, or when its tombstone is dropped; undefined for neither. */
function endOf({ pending, tombstone }: Topic): number | undefined {
  if (pending !== undefined) return pending.expiresAt;
  return tombstone === undefined ? undefined : tombstone.at + TOMBSTONE_MS;
}
