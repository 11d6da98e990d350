// The subscriptions of this process at one server, on one connection. Each channel is subscribed once for all its
// listeners, and all channels are subscribed again after every reconnect.
import type { Redis } from 'ioredis';
import type { ChannelListener } from './redis-commands.ts';

/** The most channels in one command. */
const BATCH = 256;

export interface SubscriberOptions {
  /** Channels may be at another server now. */
  readonly onMoved: () => void;
  /** Receives what a listener threw, and errors of the subscribe command. The other listeners are called all the same.
   *  */
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

  constructor(redis: Redis, options: SubscriberOptions) {
    this.#redis = redis;
    this.#options = options;
    redis.on('smessageBuffer', (channel: Buffer, payload: Buffer) => this.#message(channel, payload));
    redis.on('ready', () => this.#resubscribe());
    redis.on('close', () => {
      for (const channel of this.#channels.values()) channel.isOn = false;
    });
    redis.on('moved', () => {
      for (const channel of this.#channels.values()) channel.isOn = false;
      options.onMoved();
      this.#resubscribe();
    });
  }

  get channelCount(): number {
    return this.#channels.size;
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
    // A failure means that the connection is closed, and with it the subscription.
    if (this.#redis.status === 'ready') this.#redis.sunsubscribe(name).catch(() => undefined);
  }

  /** Detects a dead connection: no other command is sent on it. */
  probe(): void {
    // A failure means that the client closes the connection and makes a new one.
    if (this.#redis.status === 'ready') this.#redis.ping().catch(() => undefined);
  }

  close(): void {
    this.#channels.clear();
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
      try {
        this.#subscribe(wanted);
      } catch (error) {
        this.#options.onError(error);
      }
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
    const [first, ...rest] = channels.map(({ name }) => name);
    if (first === undefined) return;
    // eslint-disable-next-line no-restricted-syntax -- at most BATCH channels
    this.#redis.ssubscribe(first, ...rest).then(
      () => this.#confirm(channels),
      // After a broken connection the `ready` event subscribes again; for a moved slot the route is checked.
      () => this.#options.onMoved(),
    );
  }

  #confirm(channels: readonly Channel[]): void {
    for (const channel of channels) {
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
