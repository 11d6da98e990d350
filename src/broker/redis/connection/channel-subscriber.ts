// The subscriptions of this process at one server, on one connection. Each channel is subscribed once for all its
// listeners, and all channels are subscribed again after every reconnect. A command that the server refuses is sent
// again after a pause, as long as it is needed: a tail without its subscription would wait without end.
import type { Redis } from 'ioredis';
import type { Clock, Timer } from '../../../base/clock.ts';
import { jittered } from './jitter.ts';
import { brokerErrorOf, isReplyError, wordOf } from './redis-errors.ts';
import type { BrokerError } from '../../errors.ts';
import type { ChannelListener } from './redis-commands.ts';

/** The most channels in one command. */
const BATCH = 256;
/** The pause before refused commands are sent again is random: at first up to RETRY_MS_FIRST, later up to
 *  RETRY_MS_MAX. */
export const RETRY_MS_FIRST = 1_000;
export const RETRY_MS_MAX = 30_000;

export interface SubscriberOptions {
  readonly clock: Clock;
  /** Channels may be at another server now. */
  readonly onMoved: () => void;
  /** Receives what a listener threw, and the first of several refusals in a row. The other listeners are called all the
   *  same. */
  readonly onError: (error: unknown) => void;
}

interface Channel {
  readonly name: string;
  readonly partition: number;
  readonly listeners: Set<ChannelListener>;
  /** The server has confirmed the subscription on the current connection. */
  isOn: boolean;
}

export class ChannelSubscriber {
  readonly #redis: Redis;
  readonly #options: SubscriberOptions;
  readonly #channels = new Map<string, Channel>();
  #wanted: Channel[] = [];
  #isAsking = false;
  /** Channels whose last command was refused on the current connection: they are subscribed where a listener is left,
   *  and otherwise unsubscribed. */
  readonly #refused = new Set<string>();
  /** Since `#refused` was last empty: the retries, and whether a refusal was reported. */
  #retries = 0;
  #isReported = false;
  #retry: Timer | undefined;

  constructor(redis: Redis, options: SubscriberOptions) {
    this.#redis = redis;
    this.#options = options;
    redis.on('smessageBuffer', (channel: Buffer, payload: Buffer) => this.#message(channel, payload));
    redis.on('ready', () => this.#resubscribe());
    redis.on('close', () => {
      for (const channel of this.#channels.values()) channel.isOn = false;
      // All subscriptions end with the connection, and the `ready` event of the next one makes them again.
      this.#forgetRefused();
    });
    redis.on('moved', () => {
      for (const channel of this.#channels.values()) channel.isOn = false;
      options.onMoved();
      this.#resubscribe();
    });
  }

  add(partition: number, name: string, listener: ChannelListener): void {
    const known = this.#channels.get(name);
    if (known !== undefined) {
      known.listeners.add(listener);
      if (known.isOn)
        queueMicrotask(() => {
          if (known.listeners.has(listener)) this.#subscribed(listener);
        });
      return;
    }
    const channel = { name, partition, listeners: new Set([listener]), isOn: false };
    this.#channels.set(name, channel);
    this.#want(channel);
  }

  remove(name: string, listener: ChannelListener): void {
    const channel = this.#channels.get(name);
    if (channel?.listeners.delete(listener) !== true || channel.listeners.size > 0) return;
    this.#channels.delete(name);
    this.#unsubscribe(name);
  }

  /** Detects a dead connection: no other command is sent on it. */
  probe(): void {
    // Without an answer the client closes the connection and makes a new one. A refusal is an answer.
    if (this.#redis.status === 'ready') this.#redis.ping().catch(() => undefined);
  }

  close(): void {
    this.#channels.clear();
    this.#forgetRefused();
    this.#redis.disconnect();
  }

  /** Channels that are added in one turn of the event loop are subscribed together. */
  #want(channel: Channel): void {
    this.#wanted.push(channel);
    if (this.#isAsking) return;
    this.#isAsking = true;
    queueMicrotask(() => {
      this.#isAsking = false;
      const wanted = this.#wanted;
      this.#wanted = [];
      this.#subscribe(wanted);
    });
  }

  #resubscribe(): void {
    this.#wanted = [];
    this.#subscribe([...this.#channels.values()]);
  }

  #subscribe(channels: readonly Channel[]): void {
    // Otherwise the `ready` event subscribes them.
    if (this.#redis.status !== 'ready') return;
    const alive = channels
      .filter((channel) => this.#channels.get(channel.name) === channel)
      .sort((a, b) => a.partition - b.partition);
    // In a cluster all channels of one command must be in one slot.
    for (let from = 0, to = 0; from < alive.length; from = to) {
      while (to < alive.length && to - from < BATCH && alive[to]?.partition === alive[from]?.partition) to += 1;
      this.#ask(alive.slice(from, to));
    }
  }

  #ask(channels: readonly Channel[]): void {
    const names = channels.map(({ name }) => name);
    const [first, ...rest] = names;
    if (first === undefined) return;
    try {
      // eslint-disable-next-line no-restricted-syntax -- at most BATCH channels
      this.#redis.ssubscribe(first, ...rest).then(
        () => this.#confirm(channels),
        (error: unknown) => {
          this.#refuse(names, newsOf(error));
          // The slot may have moved.
          this.#options.onMoved();
        },
      );
    } catch (error) {
      this.#refuse(names, error);
    }
  }

  #unsubscribe(name: string): void {
    // Otherwise the subscription has ended with the connection.
    if (this.#redis.status !== 'ready') return;
    this.#redis.sunsubscribe(name).then(
      () => this.#accept(name),
      (error: unknown) => {
        // A server ends the subscriptions of a slot when the slot moves away.
        if (isMoved(error)) this.#accept(name);
        else this.#refuse([name], newsOf(error));
      },
    );
  }

  #accept(name: string): void {
    if (this.#refused.delete(name) && this.#refused.size === 0) this.#forgetRefused();
  }

  /** `news`: what the log receives, unless an earlier refusal in this row was reported. */
  #refuse(names: readonly string[], news: unknown): void {
    // After a broken connection the `ready` event subscribes again.
    if (this.#redis.status !== 'ready') return;
    for (const name of names) this.#refused.add(name);
    if (!this.#isReported && news !== undefined) {
      this.#isReported = true;
      this.#options.onError(news);
    }
    const pause = Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** Math.min(this.#retries, 10));
    this.#retry ??= this.#options.clock.after(jittered(pause), () => this.#askAgain());
  }

  #askAgain(): void {
    this.#retry = undefined;
    this.#retries += 1;
    const channels: Channel[] = [];
    for (const name of this.#refused) {
      const channel = this.#channels.get(name);
      if (channel === undefined) this.#unsubscribe(name);
      else channels.push(channel);
    }
    this.#subscribe(channels);
  }

  #forgetRefused(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#refused.clear();
    this.#retries = 0;
    this.#isReported = false;
  }

  #confirm(channels: readonly Channel[]): void {
    for (const channel of channels) {
      this.#accept(channel.name);
      if (this.#channels.get(channel.name) !== channel) continue;
      channel.isOn = true;
      for (const listener of channel.listeners) this.#subscribed(listener);
    }
  }

  #message(name: Buffer, payload: Buffer): void {
    const listeners = this.#channels.get(name.toString('latin1'))?.listeners;
    if (listeners === undefined) return;
    for (const listener of listeners) {
      try {
        listener.message(payload);
      } catch (error) {
        this.#options.onError(error);
      }
    }
  }

  #subscribed(listener: ChannelListener): void {
    try {
      listener.subscribed();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

/** Undefined where the server is unavailable: the engine's health reports that. */
function newsOf(error: unknown): BrokerError | undefined {
  const explained = brokerErrorOf(error, 'a subscription');
  return explained.code === 'unavailable' ? undefined : explained;
}

function isMoved(error: unknown): boolean {
  return isReplyError(error) && wordOf(error.message) === 'MOVED';
}
