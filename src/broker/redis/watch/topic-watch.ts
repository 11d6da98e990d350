// One topic that tails on this node follow: a subscription, the newest records in memory, and the readers that are
// woken. A published message is a hint that may be lost. So a reader begins with the log, reads the log again after
// every rewind, and the table compares the watch with its topic from time to time (watch-table.ts).
import type { Clock, Timer } from '../../../base/clock.ts';
import type { LogBatch, ReadResult, TopicInfo } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { TailReader } from '../../tail/tail-reader.ts';
import type { WakeList } from '../../tail/wake-list.ts';
import { LOOK_LATE_MS } from '../commands/describe.ts';
import type { RedisRead } from '../commands/read.ts';
import type { ChannelListener } from '../connection/redis-commands.ts';
import { HotRecords } from './hot-records.ts';
import { decodeMessage, type AddMessage, type BatchFollower } from './watch-message.ts';

/** What a watch needs of its table: one object for all watches. */
export interface WatchHost {
  readonly clock: Clock;
  readonly wakeList: WakeList;
  /** Reads from the log. Tries until it succeeds or the table is closed. */
  read(topic: LiteTopicName, position: Position, majorOnly: boolean): Promise<RedisRead>;
  /** Compares the watch with its topic soon. */
  recheck(watch: TopicWatch): void;
  /** The last reader has left the watch. */
  release(watch: TopicWatch): void;
}

export class TopicWatch implements ChannelListener, BatchFollower {
  readonly topic: LiteTopicName;
  readonly #host: WatchHost;
  readonly #hot = new HotRecords();
  readonly #readers = new Set<TailReader>();
  /** Resolves when the subscription is active: a read that begins after that misses nothing. */
  readonly #active: Promise<void>;
  #activate: (() => void) | undefined;
  /** Which of the two channels have been subscribed: the topic's, and that of the batches. */
  #isOwnOn = false;
  #isBatchOn = false;
  #rewinds = 0;
  #messages = 0;
  #expiry: { readonly at: number; readonly timer: Timer } | undefined;
  #expiresAt: number | undefined;

  constructor(topic: LiteTopicName, host: WatchHost) {
    this.topic = topic;
    this.#host = host;
    this.#active = new Promise((resolve) => {
      this.#activate = resolve;
    });
  }

  /** Raised when every reader must read the log again. */
  get rewinds(): number {
    return this.#rewinds;
  }

  /** Counts the messages received: a description that was requested before the last one is older than it. */
  get messages(): number {
    return this.#messages;
  }

  attach(reader: TailReader): void {
    this.#readers.add(reader);
  }

  detach(reader: TailReader): void {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) this.#host.release(this);
  }

  /** The records from a position that are in memory; undefined where they must be read from the log. */
  inMemory(position: Position, majorOnly: boolean): LogBatch | undefined {
    return this.#hot.from(position, majorOnly);
  }

  async read(position: Position, majorOnly: boolean): Promise<ReadResult> {
    await this.#active;
    const rewinds = this.#rewinds;
    const { result, expiresAt } = await this.#host.read(this.topic, position, majorOnly);
    if (result.kind !== 'batch') return result;
    if (rewinds !== this.#rewinds) return { ...result, end: false };
    const { epoch, next } = result;
    if (result.end && this.#hot.epoch === undefined) this.#hot.restart(epoch, next);
    this.#expires(expiresAt);
    // The topic expired during the read, for which no timer is set; or it would expire before the next periodic look,
    // and a look keeps a topic that readers keep.
    if (expiresAt !== undefined && expiresAt <= this.#host.clock.now() + LOOK_LATE_MS) this.#host.recheck(this);
    // Records that were published during the read woke no reader.
    const isBehind = epoch === this.#hot.epoch && next < this.#hot.next;
    return isBehind ? { ...result, end: false } : result;
  }

  subscribed(): void {
    this.#isOwnOn = true;
    this.#subscribed();
  }

  /** The channel of the batches is subscribed, for the first time or again. */
  batchSubscribed(): void {
    this.#isBatchOn = true;
    this.#subscribed();
  }

  #subscribed(): void {
    if (this.#activate === undefined) this.#host.recheck(this);
    if (!this.#isOwnOn || !this.#isBatchOn) return;
    this.#activate?.();
    this.#activate = undefined;
  }

  message(payload: Buffer): void {
    this.#messages += 1;
    const message = decodeMessage(payload);
    if (message?.kind === 'add') this.#added(message);
    else this.rewind();
    this.#host.wakeList.drain();
  }

  /** The caller drains the wake list when the batch ends. */
  batched(message: AddMessage | undefined): void {
    this.#messages += 1;
    if (message === undefined) this.rewind();
    else this.#added(message);
  }

  /** Compares the watch with the topic's description, which is undefined where the topic is gone. `since`: the value of
   *  `messages` when the description was requested. */
  compare(info: TopicInfo | undefined, since: number): void {
    const isSame = info !== undefined && info.epoch === this.#hot.epoch;
    if (isSame) this.#expires(info.expiresAt);
    // A message that arrived after the request is newer than the description.
    if (isSame && (info.next === this.#hot.next || since !== this.#messages)) return;
    if (isSame && info.next > this.#hot.next) {
      this.#hot.restart(info.epoch, info.next);
      this.#wake(true);
    } else {
      this.rewind();
    }
    this.#host.wakeList.drain();
  }

  /** Makes every reader read the log next. */
  rewind(): void {
    this.#rewinds += 1;
    this.#hot.forget();
    this.#wake(true);
  }

  stop(): void {
    this.#expiry?.timer.cancel();
    for (const reader of this.#readers) reader.stop();
  }

  #added(message: AddMessage): void {
    this.#hot.add(message);
    this.#expires(message.expiresAt);
    this.#wake(message.lastMajor >= message.first);
  }

  #wake(major: boolean): void {
    this.#host.wakeList.mark(this.#readers, major);
  }

  /** Rechecks the topic when it expires; otherwise its readers would wait for the next periodic comparison. An expiry
   *  that moves to a later time leaves the timer as it is: the timer finds the later time when it fires, so that a
   *  token moves no timer. */
  #expires(at: number | undefined): void {
    this.#expiresAt = at;
    const { clock } = this.#host;
    const now = clock.now();
    if (at === undefined || at <= now || (this.#expiry !== undefined && this.#expiry.at <= at)) return;
    this.#expiry?.timer.cancel();
    this.#expiry = {
      at,
      timer: clock.after(at - now, () => {
        this.#expiry = undefined;
        if ((this.#expiresAt ?? 0) > clock.now()) this.#expires(this.#expiresAt);
        else this.#host.recheck(this);
      }),
    };
  }
}
