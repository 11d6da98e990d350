// The subscription of this node to the batches of one place (keys.ts), for all watches of topics there. A message has
// what one call added to many topics. It is decoded once, and items of topics that nobody here follows are skipped by
// their line.
import type { LiteTopicName } from '../../lite-topic.ts';
import type { WakeList } from '../../tail/wake-list.ts';
import type { ChannelListener, ChannelSubscription } from '../connection/redis-commands.ts';
import type { TopicWatch } from './topic-watch.ts';
import { deliverBatch } from './watch-message.ts';

export class BatchFeed implements ChannelListener {
  readonly place: number;
  readonly #wakeList: WakeList;
  readonly #watches = new Map<LiteTopicName, TopicWatch>();
  #subscription: ChannelSubscription | undefined;
  #isOn = false;

  /** `place`: of the batches (keys.ts). */
  constructor(place: number, wakeList: WakeList) {
    this.place = place;
    this.#wakeList = wakeList;
  }

  get isEmpty(): boolean {
    return this.#watches.size === 0;
  }

  /** `subscribe` is called for the first watch. */
  add(watch: TopicWatch, subscribe: (feed: BatchFeed) => ChannelSubscription): void {
    this.#watches.set(watch.topic, watch);
    this.#subscription ??= subscribe(this);
    if (this.#isOn) watch.batchSubscribed();
  }

  remove(watch: TopicWatch): void {
    if (this.#watches.get(watch.topic) === watch) this.#watches.delete(watch.topic);
  }

  close(): void {
    this.#subscription?.close();
  }

  subscribed(): void {
    this.#isOn = true;
    for (const watch of this.#watches.values()) watch.batchSubscribed();
  }

  message(payload: Buffer): void {
    if (!deliverBatch(payload, this.#followerOf)) for (const watch of this.#watches.values()) watch.rewind();
    this.#wakeList.drain();
  }

  readonly #followerOf = (topic: LiteTopicName): TopicWatch | undefined => this.#watches.get(topic);
}
