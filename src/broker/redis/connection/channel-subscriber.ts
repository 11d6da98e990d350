// The subscriptions of this process at one server, on one connection: as many channels as are wanted, each subscribed
// once however many listen, and all of them again after every reconnect.
import type { Redis } from 'ioredis';
import type { ChannelListener } from './redis-commands.ts';

/** Channels in one command. */
const BATCH = 256;

export interface SubscriberOptions {
  /** Channels may be at another server now. */
  readonly onMoved: () => void;
  /** What a listener threw, or what was thrown while the server was asked. The other listeners are called all the same. */
  readonly onError: (error: unknown) => void;
}

interface Channel {
  readonly name: string;
  readonly partition: number;
  readonly listeners: Set<ChannelListener>;
  /** The server has confirmed it, on the connection that stands. */
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
    // Where it fails, the connection is gone, and the subscription with it.
    if (this.#redis.status === 'ready') this.#redis.sunsubscribe(name).catch(() => undefined);
  }

  /** Finds out a connection that stands and leads nowhere: nothing else is asked on it. */
  probe(): void {
    // Where it fails, the connection is given up, and made anew.
    if (this.#redis.status === 'ready') this.#redis.ping().catch(() => undefined);
  }

  close(): void {
    this.#channels.clear();
    this.#redis.disconnect();
  }

  /** All that are wanted in one turn of the event loop go out together. */
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
    // Otherwise they are asked for when it is ready.
    if (this.#redis.status !== 'ready') return;
    const alive = channels
      .filter((channel) => this.#channels.get(channel.name) === channel)
      .sort((a, b) => a.partition - b.partition);
    // In a cluster the channels of one command must be of one slot.
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
      // A connection that broke comes back and asks again; a slot that moved is looked for.
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
