// One tail per topic and node, shared by all of that node's viewers. Owns the feeds, and keeps watched chats from expiring.
import type { Broker, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Clock } from '../base/clock.ts';
import { latencyOf } from './delivery-latency.ts';
import { KeepAlive } from './keep-alive.ts';
import { LiveTopic, type LiveBatch, type LiveTopicKeeper, type LiveTopicListener } from './live-topic.ts';
import type { WireEvent } from './wire-event.ts';

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

export class TopicHub {
  readonly #options: HubOptions;
  readonly #live = new Map<LiteTopicName, LiveTopic>();
  readonly #opening = new Map<LiteTopicName, Promise<LiveTopic | undefined>>();
  readonly #keeper: LiveTopicKeeper = {
    onDelivered: (live, batch) => this.#onRunEvents(live, batch),
    onOver: (live, reset) => this.#end(live, reset),
    onError: (error) => this.#options.onError(error),
  };
  readonly #keepAlive: KeepAlive;
  #isClosed = false;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#keepAlive = new KeepAlive(options, this.#live);
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
    this.#keepAlive.close();
    for (const live of this.#live.values()) live.over.abort();
    this.#live.clear();
  }

  async #begin(topic: LiteTopicName, known: TopicInfo | undefined): Promise<LiveTopic | undefined> {
    const info = known ?? (await this.#options.broker.describe([topic]))[0];
    // Not undefined: that would say that the topic is gone, and its reader would look again, for ever.
    if (this.#isClosed) throw new BrokerError('closed', 'this node follows no topics any more');
    if (info === undefined) return undefined;
    const live = new LiveTopic(topic, info, this.#keepAlive.firstDue(info), this.#keeper);
    this.#live.set(topic, live);
    this.#options.broker.tail(topic, { epoch: live.epoch, offset: live.next }, { signal: live.over }).follow(live);
    this.#options.observer?.onFollowed(topic, info);
    this.#keepAlive.schedule();
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
    const ms = latencyOf(events, clock.now());
    if (ms !== undefined) onLatency?.(ms);
  }

  #drop(live: LiveTopic): void {
    if (this.#live.get(live.topic) === live) {
      this.#live.delete(live.topic);
      this.#options.observer?.onLeft(live.topic);
    }
    live.over.abort();
  }
}
