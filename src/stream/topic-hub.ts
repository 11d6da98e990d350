// The registry of a node's live topics: one tail for each topic, shared by all readers of the node. The keep-alive of
// the topics and the sample of their latency are in files of their own.
import type { QueuePosition } from '../session/events/queue-position.ts';
import type { Broker, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Clock } from '../base/clock.ts';
import { latencyOf } from './delivery-latency.ts';
import { KeepAlive } from './keep-alive.ts';
import { LiveTopic, type LiveBatch, type LiveTopicKeeper, type LiveTopicListener } from './live-topic.ts';
import type { WireEvent } from './events/wire-event.ts';

/** Receives what happens to the topics that readers of this node follow, except their deltas. */
export interface LiveTopicObserver {
  /** `info`: the topic as it was when the live topic began. */
  onFollowed(topic: LiteTopicName, info: TopicInfo): void;
  /** The events of one live batch. At least one of them is an event of a run. */
  onRunEvents(topic: LiteTopicName, events: readonly WireEvent[]): void;
  onLeft(topic: LiteTopicName): void;
}

export interface HubOptions {
  readonly broker: Broker;
  readonly clock: Clock;
  /** A tail or a touch failed for another reason than the end of the topic. */
  readonly onError: (error: unknown) => void;
  /** The age of a record at its delivery, in ms by the wall clock; one sample for each run. */
  readonly onLatency?: (ms: number) => void;
  /** A run was queued in a topic that readers of this node follow. */
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

  /** The live topic; undefined where the topic does not exist. A new live topic begins at the head of the topic, or
   *  at the head in `known`: a caller that has just described the topic saves the hub a second describe. @throws
   *  BrokerError closed */
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

  /** Ends the live topic when its last listener leaves. */
  leave(live: LiveTopic, listener: LiveTopicListener): void {
    live.remove(listener);
    if (!live.isWatched) this.#drop(live);
  }

  /** Returns false where no reader of this node follows the topic. `queuePositions`: see
   *  `LiveTopicListener.onQueue`. */
  notifyQueue(topic: LiteTopicName, queuePositions: ReadonlyMap<string, QueuePosition>): boolean {
    const live = this.#live.get(topic);
    if (live === undefined) return false;
    live.notifyQueue(queuePositions);
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
    // Not undefined: that means that the topic does not exist, and the reader would open it again without end.
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
