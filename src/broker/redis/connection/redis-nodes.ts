// Presents all servers as one: scripts go to the server of their place, subscriptions follow the partition, and the
// commands under way are bounded. A command is sent again only if the server answered that it did not run.
import type { Clock } from '../../../base/clock.ts';
import { BrokerError } from '../../errors.ts';
import type { RedisKeys } from '../keys.ts';
import type { ChannelListener, ChannelSubscription, RedisCommands, RedisReply, RedisScript } from './redis-commands.ts';
import { brokerErrorOf, isReplyError, wordOf } from './redis-errors.ts';
import type { RedisNode } from './redis-node.ts';
import type { Route } from './route.ts';

/** The most commands under way, and the most characters of their arguments. */
const IN_FLIGHT_MAX = 16_384;
const IN_FLIGHT_CHARS_MAX = 128 * 1024 * 1024;
/** The most redirections that one command follows. */
const REDIRECTIONS_MAX = 4;

interface Subscription {
  readonly partition: number;
  readonly channel: string;
  readonly listener: ChannelListener;
  node: RedisNode;
}

export class RedisNodes implements RedisCommands {
  readonly keys: RedisKeys;
  readonly clock: Clock;
  readonly #route: Route;
  readonly #time: () => string;
  readonly #subscriptions = new Set<Subscription>();
  #inFlight = 0;
  #chars = 0;
  #isFull = false;
  #isClosed = false;
  #drained: (() => void) | undefined;

  /** `time`: the time argument of scripts, '' for the server's own clock. */
  constructor({
    keys,
    clock,
    route,
    time,
  }: {
    readonly keys: RedisKeys;
    readonly clock: Clock;
    readonly route: Route;
    readonly time: () => string;
  }) {
    this.keys = keys;
    this.clock = clock;
    this.#route = route;
    this.#time = time;
    route.onChange(() => this.#follow());
  }

  get state(): 'ready' | 'full' | 'unavailable' {
    for (const node of this.#route.nodes()) if (!node.isReady) return 'unavailable';
    return this.#isFull ? 'full' : 'ready';
  }

  async run(
    script: RedisScript,
    place: number,
    args: readonly (string | number)[],
    others: readonly number[] = [],
  ): Promise<RedisReply> {
    if (this.#isClosed) throw new BrokerError('closed', 'the broker was closed');
    const chars = charsOf(args);
    if (this.#inFlight >= IN_FLIGHT_MAX || this.#chars + chars > IN_FLIGHT_CHARS_MAX) {
      throw new BrokerError('overloaded', 'too much is on its way to Redis');
    }
    this.#inFlight += 1;
    this.#chars += chars;
    try {
      const reply = await this.#run(script, place, args, others);
      if (script.needsRoom) this.#isFull = false;
      return reply;
    } catch (error) {
      throw this.#explain(error, script);
    } finally {
      this.#inFlight -= 1;
      this.#chars -= chars;
      if (this.#inFlight === 0) this.#drained?.();
    }
  }

  subscribe(partition: number, channel: string, listener: ChannelListener): ChannelSubscription {
    const subscription: Subscription = { partition, channel, listener, node: this.#route.nodeOf(partition) };
    this.#subscriptions.add(subscription);
    subscription.node.subscriber().add(partition, channel, listener);
    return {
      close: () => {
        if (this.#subscriptions.delete(subscription)) subscription.node.subscriber().remove(channel, listener);
      },
    };
  }

  /** Pings idle subscriber connections, so that dead ones are detected. */
  probe(): void {
    for (const node of this.#route.nodes()) {
      if (!node.isReady) this.#route.recheck();
      node.probe();
    }
  }

  /** Refuses new commands, waits for the commands under way, and closes the connections. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.#route.close();
  }

  async #run(
    script: RedisScript,
    place: number,
    args: readonly (string | number)[],
    others: readonly number[],
  ): Promise<RedisReply> {
    const tags = [this.keys.tag(place)];
    for (const other of others) tags.push(this.keys.tag(other));
    for (let redirections = 0; ; redirections += 1) {
      try {
        const vouched = this.#route.vouched(place);
        const time = this.#time();
        return await this.#route
          .nodeOf(place)
          .run(script, tags, [vouched === undefined ? time : `${time} ${vouched}`, ...args]);
      } catch (error) {
        const address = movedTo(error);
        if (address === undefined || redirections === REDIRECTIONS_MAX) throw error;
        await this.#route.moved(place, address);
      }
    }
  }

  #explain(error: unknown, script: RedisScript): BrokerError {
    const explained = brokerErrorOf(error, script.name);
    if (explained.code === 'unavailable') this.#route.recheck();
    if (explained.code === 'disk-full') this.#isFull = true;
    return explained;
  }

  /** Moves subscriptions to the servers that their partitions moved to. */
  #follow(): void {
    for (const subscription of this.#subscriptions) {
      const { partition, channel, listener } = subscription;
      const node = this.#route.nodeOf(partition);
      if (node === subscription.node) continue;
      subscription.node.subscriber().remove(channel, listener);
      subscription.node = node;
      node.subscriber().add(partition, channel, listener);
    }
  }
}

function charsOf(args: readonly (string | number)[]): number {
  let chars = 0;
  for (const arg of args) if (typeof arg === 'string') chars += arg.length;
  return chars;
}

/** The address of `MOVED <slot> <address>`: the command did not run, and would run there. */
function movedTo(error: unknown): string | undefined {
  if (!isReplyError(error) || wordOf(error.message) !== 'MOVED') return undefined;
  return error.message.split(' ')[2];
}
