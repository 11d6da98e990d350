// The topics that are followed on this node, each with one subscription however many read it. Those in doubt are looked
// at together, in one script a partition: after a reconnect, when their time is up, and all of them from time to time,
// because what is published may be lost.
import { delay, type Clock, type Timer } from '../../../base/clock.ts';
import type { TopicInfo } from '../../broker.ts';
import { isBrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { TailSource } from '../../tail/tail-reader.ts';
import { WakeList } from '../../tail/wake-list.ts';
import { about, jittered } from '../connection/jitter.ts';
import type { RedisRead } from '../commands/read.ts';
import type { ChannelSubscription, RedisCommands } from '../connection/redis-commands.ts';
import { TopicFeed } from './topic-watch.ts';

/** At the longest, a message that was lost is found out after one and a quarter of this. */
export const RECHECK_MS = 15_000;
/** Between two tries to read the log, at most. */
const RETRY_MS = 1_000;

export interface FeedTableOptions {
  readonly commands: RedisCommands;
  readonly read: (topic: LiteTopicName, position: Position, majorOnly: boolean) => Promise<RedisRead>;
  readonly describe: (topics: readonly LiteTopicName[]) => Promise<readonly (TopicInfo | undefined)[]>;
  /** @throws BrokerError closed */
  readonly mustBeOpen: () => void;
  /** What was thrown where nobody waits for an answer. */
  readonly onError: (error: unknown) => void;
}

interface Followed {
  readonly feed: TopicFeed;
  readonly subscription: ChannelSubscription;
}

export class FeedTable {
  readonly #options: FeedTableOptions;
  readonly #clock: Clock;
  readonly #ring = new WakeList();
  readonly #followed = new Map<LiteTopicName, Followed>();
  readonly #closing = new AbortController();
  #doubted = new Set<TopicFeed>();
  #isLooking = false;
  #recheck: Timer | undefined;

  constructor(options: FeedTableOptions) {
    this.#options = options;
    this.#clock = options.commands.clock;
  }

  /** A reader finds its feed when it begins, so that one that never does costs no subscription. */
  source(topic: LiteTopicName): TailSource {
    let source: TailSource | undefined;
    return {
      readFrom: (position, majorOnly) => (source ??= this.#follow(topic).source()).readFrom(position, majorOnly),
      attach: (reader) => {
        this.#options.mustBeOpen();
        source = this.#follow(topic).source();
        source.attach(reader);
      },
      detach: (reader) => source?.detach(reader),
    };
  }

  close(): void {
    this.#closing.abort();
    this.#recheck?.cancel();
    for (const { feed, subscription } of [...this.#followed.values()]) {
      subscription.close();
      feed.stop();
    }
    this.#followed.clear();
  }

  #follow(topic: LiteTopicName): TopicFeed {
    const known = this.#followed.get(topic);
    if (known !== undefined) return known.feed;
    const { commands } = this.#options;
    const feed = new TopicFeed(topic, {
      clock: this.#clock,
      ring: this.#ring,
      read: (name, position, majorOnly) => this.#read(name, position, majorOnly),
      doubt: (doubted) => this.#doubt([doubted]),
      release: (released) => this.#release(released),
      mustBeOpen: this.#options.mustBeOpen,
    });
    const partition = commands.keys.partitionOf(topic);
    this.#followed.set(topic, {
      feed,
      subscription: commands.subscribe(partition, commands.keys.topicChannel(topic), feed),
    });
    this.#scheduleRecheck();
    return feed;
  }

  #release(feed: TopicFeed): void {
    const followed = this.#followed.get(feed.topic);
    if (followed?.feed !== feed) return;
    this.#followed.delete(feed.topic);
    followed.subscription.close();
    feed.stop();
  }

  /** A storage that cannot be reached is waited for: its readers have lost nothing by that. */
  async #read(topic: LiteTopicName, position: Position, majorOnly: boolean): Promise<RedisRead> {
    for (;;) {
      try {
        return await this.#options.read(topic, position, majorOnly);
      } catch (error) {
        if (!isBrokerError(error, 'unavailable') || this.#closing.signal.aborted) throw error;
        await delay(this.#clock, jittered(RETRY_MS), this.#closing.signal);
      }
    }
  }

  #doubt(feeds: Iterable<TopicFeed>): void {
    for (const feed of feeds) this.#doubted.add(feed);
    if (this.#isLooking || this.#doubted.size === 0 || this.#closing.signal.aborted) return;
    this.#isLooking = true;
    // Those that come into doubt in the same turn are looked at together.
    queueMicrotask(() => void this.#look());
  }

  async #look(): Promise<void> {
    const feeds = [...this.#doubted].filter((feed) => this.#followed.get(feed.topic)?.feed === feed);
    this.#doubted = new Set();
    const since = feeds.map(({ messages }) => messages);
    try {
      const infos = await this.#describe(feeds);
      if (infos === undefined) return;
      for (const [i, feed] of feeds.entries()) this.#guard(() => feed.compare(infos[i], since[i] ?? -1));
    } finally {
      this.#isLooking = false;
      this.#doubt([]);
    }
  }

  async #describe(feeds: readonly TopicFeed[]): Promise<readonly (TopicInfo | undefined)[] | undefined> {
    try {
      return await this.#options.describe(feeds.map(({ topic }) => topic));
    } catch (error) {
      await this.#lookFailed(feeds, error);
      return undefined;
    }
  }

  /** Where the storage cannot be reached there is nothing new either, and it is tried again. Else readers find out. */
  async #lookFailed(feeds: readonly TopicFeed[], error: unknown): Promise<void> {
    if (isBrokerError(error, 'unavailable')) {
      await delay(this.#clock, jittered(RETRY_MS), this.#closing.signal);
      if (!this.#closing.signal.aborted) for (const feed of feeds) this.#doubted.add(feed);
      return;
    }
    for (const feed of feeds) feed.goBack();
    this.#guard(() => this.#ring.drain());
  }

  /** A listener of a tail that throws must end neither the process nor the looks that come after this one. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #scheduleRecheck(): void {
    if (this.#recheck !== undefined || this.#followed.size === 0 || this.#closing.signal.aborted) return;
    this.#recheck = this.#clock.after(about(RECHECK_MS), () => {
      this.#recheck = undefined;
      this.#doubt([...this.#followed.values()].map(({ feed }) => feed));
      this.#scheduleRecheck();
    });
  }
}
