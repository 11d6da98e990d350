// One tail per topic and node, shared by all of that node's viewers. Owns the feeds, and keeps watched chats from expiring.
import type { Broker, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { Feed, type FeedBatch, type FeedKeeper, type FeedListener } from './live-topic.ts';
import type { WireEvent } from './wire-event.ts';

/** How often watched chats are looked over for one that needs a touch. */
export const TOUCH_SWEEP_MS = 15_000;

/** Hears what happens to the chats that are followed on this node; of their tokens it hears nothing. */
export interface FeedObserver {
  /** `info`: the topic as it is where the feed begins. */
  onFollowed(topic: LiteTopicName, info: TopicInfo): void;
  /** What was delivered together, of which something concerns a run. */
  onRunEvents(topic: LiteTopicName, events: readonly WireEvent[]): void;
  onLeft(topic: LiteTopicName): void;
}

export interface HubOptions {
  readonly broker: Broker;
  readonly clock: Clock;
  /** A tail or a touch that failed for another reason than the topic's own end. */
  readonly onError: (error: unknown) => void;
  /** How old a record was when it was handed to its viewers, in ms by the wall clock. Sampled once a run, on
   *  `run.started`, which says when it was made: so it costs no token anything, and holds between machines. */
  readonly onLatency?: (ms: number) => void;
  /** Somebody watches a topic in which a run has come to wait. */
  readonly onQueued?: (topic: LiteTopicName) => void;
  readonly observer?: FeedObserver;
}

const MADE_AT = '"createdAt":"';
/** A difference this large is between two clocks, and no latency. */
const LATENCY_MS_MAX = 600_000;

export class TopicHub {
  readonly #options: HubOptions;
  readonly #feeds = new Map<LiteTopicName, Feed>();
  readonly #opening = new Map<LiteTopicName, Promise<Feed | undefined>>();
  readonly #keeper: FeedKeeper = {
    onDelivered: (feed, batch) => this.#onRunEvents(feed, batch),
    onOver: (feed, reset) => this.#end(feed, reset),
    onError: (error) => this.#options.onError(error),
  };
  #sweep: Timer | undefined;
  #isClosed = false;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get feedCount(): number {
    return this.#feeds.size;
  }

  /** The topic's feed; undefined where there is no such topic. A new feed begins at the topic's head, or at the head that
   *  `known` names: a caller that has just described the topic saves the hub from doing so again.
   *  @throws BrokerError closed */
  async open(topic: LiteTopicName, known?: TopicInfo): Promise<Feed | undefined> {
    const feed = this.#feeds.get(topic);
    if (feed !== undefined) return feed;
    const opening = this.#opening.get(topic) ?? this.#begin(topic, known);
    this.#opening.set(topic, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(topic);
    }
  }

  /** The last listener to leave ends the feed. */
  leave(feed: Feed, listener: FeedListener): void {
    feed.remove(listener);
    if (!feed.isWatched) this.#drop(feed);
  }

  /** False where nobody watches. */
  tellQueue(topic: LiteTopicName, places: ReadonlyMap<string, number>): boolean {
    const feed = this.#feeds.get(topic);
    if (feed === undefined) return false;
    feed.tellQueue(places);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#sweep?.cancel();
    for (const feed of this.#feeds.values()) feed.over.abort();
    this.#feeds.clear();
  }

  async #begin(topic: LiteTopicName, known: TopicInfo | undefined): Promise<Feed | undefined> {
    const info = known ?? (await this.#options.broker.describe([topic]))[0];
    // Not undefined: that would say that the topic is gone, and its reader would look again, for ever.
    if (this.#isClosed) throw new BrokerError('closed', 'this node follows no topics any more');
    if (info === undefined) return undefined;
    const { clock } = this.#options;
    const feed = new Feed(topic, info, isFresh(info, clock.now()) ? clock.mono() + renewIn(info) : 0, this.#keeper);
    this.#feeds.set(topic, feed);
    this.#options.broker.tail(topic, { epoch: feed.epoch, offset: feed.next }, { signal: feed.over }).follow(feed);
    this.#options.observer?.onFollowed(topic, info);
    this.#scheduleSweep();
    return feed;
  }

  #end(feed: Feed, reset: Reset | undefined): void {
    if (feed.over.aborted) return;
    this.#drop(feed);
    feed.tellEnd(reset);
  }

  #onRunEvents(feed: Feed, { events }: FeedBatch): void {
    feed.renewAt = 0;
    this.#options.observer?.onRunEvents(feed.topic, events);
    const { onLatency, onQueued, clock } = this.#options;
    if (events.some((event) => event.type === 'run.queued')) onQueued?.(feed.topic);
    const sample = events.find((event) => event.type === 'run.started');
    if (sample === undefined) return;
    // The fields of this event are ours: no quote of its strings is unescaped.
    const from = sample.json.indexOf(MADE_AT) + MADE_AT.length;
    const ms = clock.now() - Date.parse(sample.json.slice(from, sample.json.indexOf('"', from)));
    // Another node's clock made the time, and either may have been set since.
    if (Math.abs(ms) < LATENCY_MS_MAX) onLatency?.(ms);
  }

  #drop(feed: Feed): void {
    if (this.#feeds.get(feed.topic) === feed) {
      this.#feeds.delete(feed.topic);
      this.#options.observer?.onLeft(feed.topic);
    }
    feed.over.abort();
  }

  #scheduleSweep(): void {
    if (this.#sweep !== undefined || this.#isClosed || this.#feeds.size === 0) return;
    this.#sweep = this.#options.clock.after(TOUCH_SWEEP_MS, () => {
      this.#sweep = undefined;
      this.#touchDue();
      this.#scheduleSweep();
    });
  }

  #touchDue(): void {
    const now = this.#options.clock.mono();
    for (const feed of this.#feeds.values()) {
      if (feed.renewAt > now) continue;
      // Until it is known anew.
      feed.renewAt = Number.POSITIVE_INFINITY;
      void this.#renew(feed);
    }
  }

  /** A chat with a viewer does not expire: it is touched when a third of its time is over. */
  async #renew(feed: Feed): Promise<void> {
    const { broker, clock, onError } = this.#options;
    try {
      const [info] = await broker.describe([feed.topic]);
      if (info?.epoch !== feed.epoch) return;
      feed.renewAt = clock.mono() + renewIn(info);
      const { ttlMs } = info;
      if (ttlMs === undefined || isFresh(info, clock.now())) return;
      await broker.append([{ topic: feed.topic, records: [], expect: { epoch: feed.epoch }, ttlMs }]);
    } catch (error) {
      feed.renewAt = clock.mono() + TOUCH_SWEEP_MS;
      // Gone in the meantime: its readers are told by the tail.
      if (!isBrokerError(error, 'epoch-changed')) onError(error);
    }
  }
}

/** Has it most of its time left? An end that is further away than the topic can live shows that the clocks of this node and
 *  of the storage differ, so nothing is known. */
function isFresh({ ttlMs, expiresAt }: TopicInfo, now: number): boolean {
  if (ttlMs === undefined || expiresAt === undefined) return true;
  const left = expiresAt - now;
  return left > (ttlMs * 2) / 3 && left <= ttlMs;
}

function renewIn({ ttlMs }: TopicInfo): number {
  return ttlMs === undefined ? Number.POSITIVE_INFINITY : ttlMs / 3;
}
