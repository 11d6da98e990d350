// One tail per topic and node, shared by all of that node's viewers. A feed hands each batch to its listeners
// synchronously, encoded once per wire, and says how far it has got, which is what a subscription needs to know
// to go from catching up to live without a seam. Owns the feeds, and keeps watched chats from expiring.
import type { Broker, LogBatch, LogItem, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import { followTail } from '../broker/tail/follow-tail.ts';
import type { Clock, Timer } from '../clock.ts';
import { StopController } from '../stop-signal.ts';
import type { Frame } from './event-sink.ts';
import type { WireEncoder } from './wire-encoder.ts';
import { coalesce, wireEvent, type WireEvent } from './wire-event.ts';

/** How often watched chats are looked over for one that needs a touch. */
export const TOUCH_SWEEP_MS = 15_000;

const NO_EVENTS: readonly WireEvent[] = [];

/** What a feed delivers: the events of `from` up to (not including) `next`, or a hole, for which one must read. */
export class FeedBatch {
  readonly epoch: string;
  readonly from: number;
  readonly next: number;
  /** A tail that was slow may be given a hole: only catching up can fill it. */
  readonly hasHole: boolean;
  readonly events: readonly WireEvent[];
  /** How long a chat lives changes with its runs. */
  readonly hasRunEvent: boolean;
  readonly #items: readonly LogItem[];
  readonly #isShared: boolean;
  #frames: Map<string, Frame> | undefined;

  constructor(batch: LogBatch, from: number, isShared: boolean) {
    this.epoch = batch.epoch;
    this.from = from;
    this.next = batch.next;
    this.#items = batch.items;
    this.#isShared = isShared;
    let events: WireEvent[] | undefined;
    let hasHole = false;
    let hasRunEvent = false;
    for (const item of batch.items) {
      const event = wireEvent(item);
      if (item.kind === 'hole') hasHole = true;
      if (event === undefined) continue;
      if (event.type.startsWith('run.')) hasRunEvent = true;
      // Made for one: a live batch is one token mostly, and a list that is pushed to keeps room for sixteen more.
      if (events === undefined) events = [event];
      else events.push(event);
    }
    this.hasHole = hasHole;
    this.hasRunEvent = hasRunEvent;
    this.events = events === undefined ? NO_EVENTS : coalesce(events);
  }

  /** For a reader that has read part of this batch from the log already. */
  eventsFrom(offset: number): readonly WireEvent[] {
    const rest = this.#items.filter((item) => item.kind === 'record' && item.offset >= offset);
    return coalesce(rest.map(wireEvent).filter((event) => event !== undefined));
  }

  /** The whole batch in one frame; as bytes where several viewers write it. */
  frame(encoder: WireEncoder): Frame {
    if (!this.#isShared) return encoder.encodeEvents(this.epoch, this.events);
    this.#frames ??= new Map();
    const known = this.#frames.get(encoder.key);
    if (known !== undefined) return known;
    const encoded = encoder.encodeEvents(this.epoch, this.events);
    const frame = typeof encoded === 'string' ? Buffer.from(encoded) : encoded;
    this.#frames.set(encoder.key, frame);
    return frame;
  }
}

export interface FeedListener {
  onBatch(batch: FeedBatch): void;
  /** The feed is over: the topic ended or changed, or (undefined) the tail failed. */
  onEnd(reset: Reset | undefined): void;
  /** How much is before each run that waits, now. */
  onQueue(places: ReadonlyMap<string, number>): void;
}

/** The live end of one topic. */
export class Feed {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** The offset of the next record it will deliver. */
  next: number;
  readonly listeners = new Set<FeedListener>();
  /** Aborted when nobody follows it any more, or nothing comes. */
  readonly over = new StopController();
  /** By the monotonic clock: when to look how long the topic still lives. */
  renewAt: number;

  constructor(topic: LiteTopicName, epoch: string, next: number, renewAt: number) {
    this.topic = topic;
    this.epoch = epoch;
    this.next = next;
    this.renewAt = renewAt;
  }

  deliver(batch: LogBatch): FeedBatch {
    const delivered = new FeedBatch(batch, this.next, this.listeners.size > 1);
    this.next = batch.next;
    for (const listener of this.listeners) listener.onBatch(delivered);
    return delivered;
  }
}

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

export class TopicHub {
  readonly #options: HubOptions;
  readonly #feeds = new Map<LiteTopicName, Feed>();
  readonly #opening = new Map<LiteTopicName, Promise<Feed | undefined>>();
  #sweep: Timer | undefined;
  #isClosed = false;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get feedCount(): number {
    return this.#feeds.size;
  }

  /** The topic's feed, begun at its head if nobody watches yet; undefined where there is no such topic.
   *  @throws BrokerError closed */
  async open(topic: LiteTopicName): Promise<Feed | undefined> {
    const feed = this.#feeds.get(topic);
    if (feed !== undefined) return feed;
    const opening = this.#opening.get(topic) ?? this.#begin(topic);
    this.#opening.set(topic, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(topic);
    }
  }

  /** The last listener to leave ends the feed. */
  leave(feed: Feed, listener: FeedListener): void {
    feed.listeners.delete(listener);
    if (feed.listeners.size === 0) this.#drop(feed);
  }

  /** False where nobody watches. */
  tellQueue(topic: LiteTopicName, places: ReadonlyMap<string, number>): boolean {
    const feed = this.#feeds.get(topic);
    if (feed === undefined) return false;
    for (const listener of feed.listeners) listener.onQueue(places);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#sweep?.cancel();
    for (const feed of this.#feeds.values()) feed.over.abort();
    this.#feeds.clear();
  }

  async #begin(topic: LiteTopicName): Promise<Feed | undefined> {
    const [info] = await this.#options.broker.describe([topic]);
    // Not undefined: that would say that the topic is gone, and its reader would look again, for ever.
    if (this.#isClosed) throw new BrokerError('closed', 'this node follows no topics any more');
    if (info === undefined) return undefined;
    const feed = new Feed(topic, info.epoch, info.next, this.#options.clock.mono() + renewIn(info));
    this.#feeds.set(topic, feed);
    this.#run(feed);
    this.#options.observer?.onFollowed(topic, info);
    this.#scheduleSweep();
    return feed;
  }

  #run(feed: Feed): void {
    const tail = this.#options.broker.tail(feed.topic, { epoch: feed.epoch, offset: feed.next }, { signal: feed.over });
    const onError = (error: unknown): void => {
      this.#options.onError(error);
      this.#end(feed, undefined);
    };
    followTail(tail, {
      onResult: (result) => {
        if (result.kind !== 'batch') {
          this.#end(feed, result.kind === 'reset' ? result : undefined);
          return;
        }
        try {
          this.#deliver(feed, result);
        } catch (error) {
          onError(error);
        }
      },
      onEnd: () => this.#end(feed, undefined),
      onError,
    });
  }

  #end(feed: Feed, reset: Reset | undefined): void {
    if (feed.over.aborted) return;
    this.#drop(feed);
    for (const listener of feed.listeners) listener.onEnd(reset);
  }

  #deliver(feed: Feed, batch: LogBatch): void {
    const { events, hasRunEvent } = feed.deliver(batch);
    if (!hasRunEvent) return;
    feed.renewAt = 0;
    this.#options.observer?.onRunEvents(feed.topic, events);
    const { onLatency, onQueued, clock } = this.#options;
    if (events.some((event) => event.type === 'run.queued')) onQueued?.(feed.topic);
    const sample = events.find((event) => event.type === 'run.started');
    if (sample === undefined) return;
    // The fields of this event are ours: no quote of its strings is unescaped.
    const from = sample.json.indexOf(MADE_AT) + MADE_AT.length;
    onLatency?.(clock.now() - Date.parse(sample.json.slice(from, sample.json.indexOf('"', from))));
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
      const { ttlMs, expiresAt } = info;
      if (ttlMs === undefined || expiresAt === undefined || expiresAt - clock.now() > (ttlMs * 2) / 3) return;
      await broker.append([{ topic: feed.topic, records: [], expect: { epoch: feed.epoch }, ttlMs }]);
    } catch (error) {
      feed.renewAt = clock.mono() + TOUCH_SWEEP_MS;
      // Gone in the meantime: its readers are told by the tail.
      if (!isBrokerError(error, 'epoch-changed')) onError(error);
    }
  }
}

function renewIn({ ttlMs }: TopicInfo): number {
  return ttlMs === undefined ? Number.POSITIVE_INFINITY : ttlMs / 3;
}
