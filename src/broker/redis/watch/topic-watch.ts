// One topic that is followed on this node: a subscription that hints, readers that are woken, and the newest records at
// hand. What is published may be missed, so nothing depends on it: a reader begins with the log, goes back to it whenever
// there is reason for doubt, and a feed is compared with the topic from time to time (feed-table.ts).
import type { Clock, Timer } from '../../../base/clock.ts';
import type { ReadResult, TopicInfo } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { TailReader, TailSource } from '../../tail/tail-reader.ts';
import type { WakeList } from '../../tail/wake-list.ts';
import { decodeMessage, type FeedMessage } from './watch-message.ts';
import { HotRecords } from './hot-records.ts';
import type { RedisRead } from '../commands/read.ts';
import type { ChannelListener } from '../connection/redis-commands.ts';

export interface FeedSurroundings {
  readonly clock: Clock;
  readonly ring: WakeList;
  /** From the log. Tries until it succeeds or the feed is closed. */
  read(topic: LiteTopicName, position: Position, majorOnly: boolean): Promise<RedisRead>;
  /** Compare the feed with its topic soon. */
  doubt(feed: TopicFeed): void;
  /** Its last reader has left. */
  release(feed: TopicFeed): void;
  mustBeOpen(): void;
}

export class TopicFeed implements ChannelListener {
  readonly topic: LiteTopicName;
  readonly #around: FeedSurroundings;
  readonly #hot = new HotRecords();
  readonly #readers = new Set<TailReader>();
  /** Resolves when the subscription stands: what is read after that misses nothing. */
  readonly #standing: Promise<void>;
  #stand: (() => void) | undefined;
  /** Raised when every reader must go back to the log. */
  #doubts = 0;
  #messages = 0;
  #expiry: { readonly at: number; readonly timer: Timer } | undefined;
  #expiresAt: number | undefined;

  constructor(topic: LiteTopicName, around: FeedSurroundings) {
    this.topic = topic;
    this.#around = around;
    this.#standing = new Promise((resolve) => {
      this.#stand = resolve;
    });
  }

  get readers(): Iterable<TailReader> {
    return this.#readers;
  }

  /** Counts what was heard: a look at the topic that began before is older. */
  get messages(): number {
    return this.#messages;
  }

  source(): TailSource {
    let trusted = -1;
    return {
      readFrom: (position, majorOnly) => {
        const known = trusted === this.#doubts ? this.#hot.from(position, majorOnly) : undefined;
        if (known !== undefined) return known;
        trusted = this.#doubts;
        return this.#read(position, majorOnly);
      },
      attach: (reader) => {
        this.#around.mustBeOpen();
        this.#readers.add(reader);
      },
      detach: (reader) => {
        this.#readers.delete(reader);
        if (this.#readers.size === 0) this.#around.release(this);
      },
    };
  }

  subscribed(): void {
    if (this.#stand === undefined) {
      this.#around.doubt(this);
      return;
    }
    this.#stand();
    this.#stand = undefined;
  }

  message(payload: Buffer): void {
    this.#messages += 1;
    const message = decodeMessage(payload);
    if (message?.kind === 'add') this.#added(message);
    else this.goBack();
    this.#around.ring.drain();
  }

  /** What the topic is by a look at it: undefined where it is gone. `since`: `messages` when the look began. */
  compare(info: TopicInfo | undefined, since: number): void {
    const isSame = info !== undefined && info.epoch === this.#hot.epoch;
    if (isSame) this.#expires(info.expiresAt);
    // What came meanwhile is newer than the look.
    if (isSame && (info.next === this.#hot.next || since !== this.#messages)) return;
    if (isSame && info.next > this.#hot.next) {
      this.#hot.restart(info.epoch, info.next);
      this.#wake(true);
    } else {
      this.goBack();
    }
    this.#around.ring.drain();
  }

  /** Every reader reads the log next. */
  goBack(): void {
    this.#doubts += 1;
    this.#hot.forget();
    this.#wake(true);
  }

  stop(): void {
    this.#expiry?.timer.cancel();
    for (const reader of this.#readers) reader.stop();
  }

  #added(message: FeedMessage & { readonly kind: 'add' }): void {
    this.#hot.add(message);
    this.#expires(message.expiresAt);
    this.#wake(message.lastMajor >= message.first);
  }

  async #read(position: Position, majorOnly: boolean): Promise<ReadResult> {
    await this.#standing;
    const doubts = this.#doubts;
    const { result, expiresAt } = await this.#around.read(this.topic, position, majorOnly);
    if (result.kind !== 'batch') return result;
    if (doubts !== this.#doubts) return { ...result, end: false };
    const { epoch, next } = result;
    if (result.end && this.#hot.epoch === undefined) this.#hot.restart(epoch, next);
    this.#expires(expiresAt);
    // Its time came while this was being read: no timer is set for what is past, so it is looked at now.
    if (expiresAt !== undefined && expiresAt <= this.#around.clock.now()) this.#around.doubt(this);
    // What was published while this was read woke nobody.
    const isBehind = epoch === this.#hot.epoch && next < this.#hot.next;
    return isBehind ? { ...result, end: false } : result;
  }

  #wake(major: boolean): void {
    this.#around.ring.mark(this.#readers, major);
  }

  /** When its time is up, somebody must look, or its readers would wait for the next comparison. A later time is
   *  found out by looking at the earlier one, so that a token moves no timer. */
  #expires(at: number | undefined): void {
    this.#expiresAt = at;
    const { clock } = this.#around;
    const now = clock.now();
    if (at === undefined || at <= now || (this.#expiry !== undefined && this.#expiry.at <= at)) return;
    this.#expiry?.timer.cancel();
    this.#expiry = {
      at,
      timer: clock.after(at - now, () => {
        this.#expiry = undefined;
        if ((this.#expiresAt ?? 0) > clock.now()) this.#expires(this.#expiresAt);
        else this.#around.doubt(this);
      }),
    };
  }
}
