// Keeps watched chats from expiring: it touches each live topic of the node when a third of the topic's time to live is
// over. Notifies the readers of a topic that ends although it is watched, shortly before its end. It does not own the
// live topics; the hub does.
import type { Broker, TopicInfo } from '../broker/broker.ts';
import { isBrokerError } from '../broker/errors.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { LiveTopic } from './live-topic.ts';

/** The interval, in ms, at which the node searches its live topics for one that needs a touch. */
export const TOUCH_SWEEP_MS = 15_000;

/** Readers are notified at least this long, in ms, before the end of a topic that they cannot keep. */
export const EXPIRING_MS = 60_000;

export interface KeepAliveOptions {
  readonly broker: Broker;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

export class KeepAlive {
  readonly #options: KeepAliveOptions;
  /** The live topics of the hub, by name. */
  readonly #topics: ReadonlyMap<unknown, LiveTopic>;
  #sweep: Timer | undefined;
  #isClosed = false;

  constructor(options: KeepAliveOptions, topics: ReadonlyMap<unknown, LiveTopic>) {
    this.#options = options;
    this.#topics = topics;
  }

  /** When a new live topic is due, by the monotonic clock. */
  firstDue(info: TopicInfo): number {
    const { clock } = this.#options;
    return isFresh(info, clock.now()) ? clock.mono() + renewIn(info, clock.now()) : 0;
  }

  /** Runs the sweep for as long as the hub holds a live topic. */
  schedule(): void {
    if (this.#sweep !== undefined || this.#isClosed || this.#topics.size === 0) return;
    this.#sweep = this.#options.clock.after(TOUCH_SWEEP_MS, () => {
      this.#sweep = undefined;
      this.#touchDue();
      this.schedule();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#sweep?.cancel();
  }

  #touchDue(): void {
    const now = this.#options.clock.mono();
    for (const live of this.#topics.values()) {
      if (live.renewAt > now) continue;
      // No second touch starts before this one has set the next time.
      live.renewAt = Number.POSITIVE_INFINITY;
      void this.#renew(live);
    }
  }

  async #renew(live: LiveTopic): Promise<void> {
    const { broker, clock, onError } = this.#options;
    try {
      const [info] = await broker.describe([live.topic]);
      if (info?.epoch !== live.epoch) return;
      announce(live, info, clock.now());
      // A notice is corrected with the next sweep.
      live.renewAt = live.expiresAt === undefined ? clock.mono() + renewIn(info, clock.now()) : 0;
      const { ttlMs, ttlMode } = info;
      // The storage itself keeps a topic that readers keep, and no write keeps one whose time counts from its birth.
      if (ttlMs === undefined || ttlMode !== undefined || isFresh(info, clock.now())) return;
      await broker.append([{ topic: live.topic, records: [], expect: { epoch: live.epoch }, ttlMs }]);
    } catch (error) {
      live.renewAt = clock.mono() + TOUCH_SWEEP_MS;
      // The topic ended in the meantime: the tail reports that to its readers.
      if (!isBrokerError(error, 'epoch-changed')) onError(error);
    }
  }
}

/** Whether the topic has most of its time left. An end that is further away than the topic's time to live shows that
 *  the clocks of this node and of the storage differ, so the answer is no. */
function isFresh({ ttlMs, expiresAt }: TopicInfo, now: number): boolean {
  if (ttlMs === undefined || expiresAt === undefined) return true;
  const left = expiresAt - now;
  return left > (ttlMs * 2) / 3 && left <= ttlMs;
}

/** No later than a sweep before the time at which the readers must be notified. */
function renewIn(info: TopicInfo, now: number): number {
  const third = info.ttlMs === undefined ? Number.POSITIVE_INFINITY : info.ttlMs / 3;
  const end = certainEnd(info);
  return end === undefined ? third : Math.min(third, Math.max(0, end - now - EXPIRING_MS - TOUCH_SWEEP_MS));
}

/** When the topic ends although it is watched; undefined if its readers keep it. */
function certainEnd({ ttlMode, expiresAt, endsAt }: TopicInfo): number | undefined {
  return ttlMode === 'absolute' ? expiresAt : endsAt;
}

/** Readers that were notified of an end are notified of another one too. */
function announce(live: LiveTopic, info: TopicInfo, now: number): void {
  const end = certainEnd(info);
  if (end === undefined || end === live.expiresAt) return;
  if (live.expiresAt !== undefined || end - now <= EXPIRING_MS + TOUCH_SWEEP_MS) live.notifyExpiring(end);
}
