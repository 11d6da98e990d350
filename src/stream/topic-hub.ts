// One tail per topic and node, shared by all of that node's viewers. Owns the feeds, and keeps watched chats from expiring.
import type { Broker, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { LiveTopic, type LiveBatch, type LiveTopicKeeper, type LiveTopicListener } from './live-topic.ts';
import type { WireEvent } from './wire-event.ts';

/** How often watched chats are looked over for one that needs a touch. */
export const TOUCH_SWEEP_MS = 15_000;

/** Hears what happens to the chats that are followed on this node; of their tokens it hears nothing. */
export interface LiveTopicObserver {
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
  readonly observer?: LiveTopicObserver;
}

const MADE_AT = '"createdAt":"';
/** A difference this large is between two clocks, and no latency. */
const LATENCY_MS_MAX = 600_000;

export class TopicHub {
  readonly #options: HubOptions;
  readonly #live = new Map<LiteTopicName, LiveTopic>();
  readonly #opening = new Map<LiteTopicName, Promise<LiveTopic | undefined>>();
  readonly #keeper: LiveTopicKeeper = {
    onDelivered: (live, batch) => this.#onRunEvents(live, batch),
    onOver: (live, reset) => this.#end(live, reset),
    onError: (error) => this.#options.onError(error),
  };
  #sweep: Timer | undefined;
  #isClosed = false;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get liveCount(): number {
    return this.#live.size;
  }

  /** The topic's feed; undefined where there is no such topic. A new feed begins at the topic's head, or at the head that
   *  `known` names: a caller that has just described the topic saves the hub from doing so again.
   *  @throws BrokerError closed */
  async open(topic: LiteTopicName, known?: TopicInfo): Promise<LiveTopic | undefined> {
    const live = this.#live.get(topic);
    if (live !== undefined) return live;
    const opening = this.#opening.get(topic) ?? this.#begin(topic, known);
    this.#opening.set(topic, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(topic);
    }
  }

  /** The last listener to leave ends the feed. */
  leave(live: LiveTopic, listener: LiveTopicListener): void {
    live.remove(listener);
    if (!live.isWatched) this.#drop(live);
  }

  /** False where nobody watches. */
  notifyQueue(topic: LiteTopicName, places: ReadonlyMap<string, number>): boolean {
    const live = this.#live.get(topic);
    if (live === undefined) return false;
    live.notifyQueue(places);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#sweep?.cancel();
    for (const live of this.#live.values()) live.over.abort();
    this.#live.clear();
  }

  async #begin(topic: LiteTopicName, known: TopicInfo | undefined): Promise<LiveTopic | undefined> {
    const info = known ?? (await this.#options.broker.describe([topic]))[0];
    // Not undefined: that would say that the topic is gone, and its reader would look again, for ever.
    if (this.#isClosed) throw new BrokerError('closed', 'this node follows no topics any more');
    if (info === undefined) return undefined;
    const { clock } = this.#options;
    const live = new LiveTopic(
      topic,
      info,
      isFresh(info, clock.now()) ? clock.mono() + renewIn(info) : 0,
      this.#keeper,
    );
    this.#live.set(topic, live);
    this.#options.broker.tail(topic, { epoch: live.epoch, offset: live.next }, { signal: live.over }).follow(live);
    this.#options.observer?.onFollowed(topic, info);
    this.#scheduleSweep();
    return live;
  }

  #end(live: LiveTopic, reset: Reset | undefined): void {
    if (live.over.aborted) return;
    this.#drop(live);
    live.notifyEnd(reset);
  }

  #onRunEvents(live: LiveTopic, { events }: LiveBatch): void {
    live.renewAt = 0;
    this.#options.observer?.onRunEvents(live.topic, events);
    const { onLatency, onQueued, clock } = this.#options;
    if (events.some((event) => event.type === 'run.queued')) onQueued?.(live.topic);
    const sample = events.find((event) => event.type === 'run.started');
    if (sample === undefined) return;
    // The fields of this event are ours: no quote of its strings is unescaped.
    const from = sample.json.indexOf(MADE_AT) + MADE_AT.length;
    const ms = clock.now() - Date.parse(sample.json.slice(from, sample.json.indexOf('"', from)));
    // Another node's clock made the time, and either may have been set since.
    if (Math.abs(ms) < LATENCY_MS_MAX) onLatency?.(ms);
  }

  #drop(live: LiveTopic): void {
    if (this.#live.get(live.topic) === live) {
      this.#live.delete(live.topic);
      this.#options.observer?.onLeft(live.topic);
    }
    live.over.abort();
  }

  #scheduleSweep(): void {
    if (this.#sweep !== undefined || this.#isClosed || this.#live.size === 0) return;
    this.#sweep = this.#options.clock.after(TOUCH_SWEEP_MS, () => {
      this.#sweep = undefined;
      this.#touchDue();
      this.#scheduleSweep();
    });
  }

  #touchDue(): void {
    const now = this.#options.clock.mono();
    for (const live of this.#live.values()) {
      if (live.renewAt > now) continue;
      // Until it is known anew.
      live.renewAt = Number.POSITIVE_INFINITY;
      void this.#renew(live);
    }
  }

  /** A chat with a viewer does not expire: it is touched when a third of its time is over. */
  async #renew(live: LiveTopic): Promise<void> {
    const { broker, clock, onError } = this.#options;
    try {
      const [info] = await broker.describe([live.topic]);
      if (info?.epoch !== live.epoch) return;
      live.renewAt = clock.mono() + renewIn(info);
      const { ttlMs } = info;
      if (ttlMs === undefined || isFresh(info, clock.now())) return;
      await broker.append([{ topic: live.topic, records: [], expect: { epoch: live.epoch }, ttlMs }]);
    } catch (error) {
      live.renewAt = clock.mono() + TOUCH_SWEEP_MS;
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
