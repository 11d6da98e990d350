// The topics that tails on this node follow, each with one watch and one subscription for all its readers. Because a
// published message may be lost, the table compares watches with their topics: after a reconnect, when a topic expires,
// and all of them periodically. Watches that are due together are compared with one script per partition.
import { delay, type Clock, type Timer } from '../../../base/clock.ts';
import type { ReadResult, TopicInfo } from '../../broker.ts';
import { isRetryable } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { TailReader, TailSource } from '../../tail/tail-reader.ts';
import { WakeList } from '../../tail/wake-list.ts';
import { about, jittered, RECHECK_MS } from '../connection/jitter.ts';
import type { RedisRead } from '../commands/read.ts';
import type { ChannelSubscription, RedisCommands } from '../connection/redis-commands.ts';
import { BatchFeed } from './batch-feed.ts';
import { TopicWatch, type WatchHost } from './topic-watch.ts';

/** The longest pause between two tries to read the log. */
const RETRY_MS = 1_000;

export interface WatchTableOptions {
  readonly commands: RedisCommands;
  readonly read: (topic: LiteTopicName, position: Position, majorOnly: boolean) => Promise<RedisRead>;
  readonly describe: (topics: readonly LiteTopicName[]) => Promise<readonly (TopicInfo | undefined)[]>;
  /** @throws BrokerError closed */
  readonly mustBeOpen: () => void;
}

interface Watched {
  readonly watch: TopicWatch;
  readonly subscription: ChannelSubscription;
  readonly feed: BatchFeed;
}

export class WatchTable {
  readonly #options: WatchTableOptions;
  readonly #clock: Clock;
  readonly #wakeList = new WakeList();
  readonly #host: WatchHost;
  readonly #watched = new Map<LiteTopicName, Watched>();
  /** By batch place. */
  readonly #feeds = new Map<number, BatchFeed>();
  readonly #closing = new AbortController();
  #due = new Set<TopicWatch>();
  #isComparing = false;
  #recheck: Timer | undefined;

  constructor(options: WatchTableOptions) {
    this.#options = options;
    this.#clock = options.commands.clock;
    this.#host = {
      clock: this.#clock,
      wakeList: this.#wakeList,
      read: (topic, position, majorOnly) => this.#read(topic, position, majorOnly),
      recheck: (watch) => this.#recheckSoon([watch]),
      release: (watch) => this.#release(watch),
    };
  }

  /** The source of one tail. */
  source(topic: LiteTopicName): TailSource {
    return new WatchSource(this, topic);
  }

  /** The topic's watch, which subscribes if it is new. @throws BrokerError closed */
  watch(topic: LiteTopicName): TopicWatch {
    this.#options.mustBeOpen();
    const known = this.#watched.get(topic);
    if (known !== undefined) return known.watch;
    const { commands } = this.#options;
    const watch = new TopicWatch(topic, this.#host);
    const partition = commands.keys.partitionOf(topic);
    const subscription = commands.subscribe(partition, commands.keys.topicChannel(topic), watch);
    const feed = this.#feedOf(partition);
    this.#watched.set(topic, { watch, subscription, feed });
    feed.add(watch, () => commands.subscribe(feed.place, commands.keys.batchChannel(feed.place), feed));
    this.#scheduleRecheck();
    return watch;
  }

  #feedOf(partition: number): BatchFeed {
    const place = this.#options.commands.keys.batchPlaceOf(partition);
    let feed = this.#feeds.get(place);
    if (feed === undefined) {
      feed = new BatchFeed(place, this.#wakeList);
      this.#feeds.set(place, feed);
    }
    return feed;
  }

  close(): void {
    this.#closing.abort();
    this.#recheck?.cancel();
    for (const { watch, subscription } of [...this.#watched.values()]) {
      subscription.close();
      watch.stop();
    }
    this.#watched.clear();
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
  }

  #release(watch: TopicWatch): void {
    const watched = this.#watched.get(watch.topic);
    if (watched?.watch !== watch) return;
    this.#watched.delete(watch.topic);
    watched.subscription.close();
    this.#leave(watched);
    watch.stop();
  }

  #leave({ watch, feed }: Watched): void {
    feed.remove(watch);
    if (!feed.isEmpty) return;
    feed.close();
    this.#feeds.delete(feed.place);
  }

  /** Reads the log, and tries again after a retryable error. The topic's readers only wait: they lose no record by an
   *  outage, so they need no error. */
  async #read(topic: LiteTopicName, position: Position, majorOnly: boolean): Promise<RedisRead> {
    for (;;) {
      try {
        return await this.#options.read(topic, position, majorOnly);
      } catch (error) {
        if (!isRetryable(error) || this.#closing.signal.aborted) throw error;
        await delay(this.#clock, jittered(RETRY_MS), this.#closing.signal);
      }
    }
  }

  #recheckSoon(watches: Iterable<TopicWatch>): void {
    for (const watch of watches) this.#due.add(watch);
    if (this.#isComparing || this.#due.size === 0 || this.#closing.signal.aborted) return;
    this.#isComparing = true;
    // Watches that become due in the same turn of the event loop are compared together.
    queueMicrotask(() => void this.#compare());
  }

  async #compare(): Promise<void> {
    const watches = [...this.#due].filter((watch) => this.#watched.get(watch.topic)?.watch === watch);
    this.#due = new Set();
    const since = watches.map(({ messages }) => messages);
    try {
      const infos = await this.#describe(watches);
      if (infos === undefined) return;
      for (const [i, watch] of watches.entries()) watch.compare(infos[i], since[i] ?? -1);
    } finally {
      this.#isComparing = false;
      this.#recheckSoon([]);
    }
  }

  /** Undefined: the topics could not be described. After a retryable error the watches stay due: a reader that read the
   *  log meanwhile would meet the same error. After any other error the readers read the log and receive that error. */
  async #describe(watches: readonly TopicWatch[]): Promise<readonly (TopicInfo | undefined)[] | undefined> {
    try {
      return await this.#options.describe(watches.map(({ topic }) => topic));
    } catch (error) {
      if (isRetryable(error)) {
        await delay(this.#clock, jittered(RETRY_MS), this.#closing.signal);
        if (!this.#closing.signal.aborted) for (const watch of watches) this.#due.add(watch);
        return undefined;
      }
      for (const watch of watches) watch.rewind();
      this.#wakeList.drain();
      return undefined;
    }
  }

  #scheduleRecheck(): void {
    if (this.#recheck !== undefined || this.#watched.size === 0 || this.#closing.signal.aborted) return;
    this.#recheck = this.#clock.after(about(RECHECK_MS), () => {
      this.#recheck = undefined;
      this.#recheckSoon([...this.#watched.values()].map(({ watch }) => watch));
      this.#scheduleRecheck();
    });
  }
}

/** What one tail reads: its topic's watch, looked up when the tail attaches, so that a tail that never begins costs no
 *  subscription. */
class WatchSource implements TailSource {
  readonly #table: WatchTable;
  readonly #topic: LiteTopicName;
  #watch: TopicWatch | undefined;
  /** The watch's `rewinds` when this tail last read the log: records in memory count only after that. */
  #readAt = -1;

  constructor(table: WatchTable, topic: LiteTopicName) {
    this.#table = table;
    this.#topic = topic;
  }

  readFrom(position: Position, majorOnly: boolean): ReadResult | Promise<ReadResult> {
    const watch = this.#watch;
    if (watch === undefined) throw new Error('a tail attaches before it reads');
    const { rewinds } = watch;
    const known = this.#readAt === rewinds ? watch.inMemory(position, majorOnly) : undefined;
    if (known !== undefined) return known;
    this.#readAt = rewinds;
    return watch.read(position, majorOnly);
  }

  attach(reader: TailReader): void {
    this.#watch = this.#table.watch(this.#topic);
    this.#watch.attach(reader);
  }

  detach(reader: TailReader): void {
    this.#watch?.detach(reader);
  }
}
