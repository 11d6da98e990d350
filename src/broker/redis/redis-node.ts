// One Redis server and this process's connections to it: one for commands, one for subscriptions, and, where an append
// must reach replicas before it counts, one for what waits for them, so that nobody else does.
import type { Redis } from 'ioredis';
import { BrokerError } from '../errors.ts';
import { ChannelSubscriber } from './channel-subscriber.ts';
import type { RedisReply, RedisScript } from './redis-commands.ts';
import { isReplyError, wordOf } from './redis-errors.ts';
import { ReplicaWait, type Replication } from './replica-wait.ts';

export interface NodeConnections {
  /** Where it is, for messages to an operator. Never with a password. */
  readonly name: string;
  connect(purpose: 'commands' | 'subscriber'): Redis;
}

export class RedisNode {
  readonly name: string;
  readonly #commands: Redis;
  readonly #connections: NodeConnections;
  readonly #onMoved: () => void;
  readonly #all: Redis[] = [];
  readonly #loading = new Map<string, Promise<unknown>>();
  #promised: { readonly redis: Redis; readonly wait: ReplicaWait } | undefined;
  #subscriber: ChannelSubscriber | undefined;
  #lastError: Error | undefined;

  /** `onMoved`: subscriptions may belong elsewhere now. */
  constructor(connections: NodeConnections, onMoved: () => void) {
    this.name = connections.name;
    this.#connections = connections;
    this.#onMoved = onMoved;
    this.#commands = this.#connect('commands');
  }

  get isReady(): boolean {
    return this.#all.every(({ status }) => status === 'ready');
  }

  /** What the connection last complained of. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** For the questions that are asked at the start, of the server itself. */
  get commands(): Redis {
    return this.#commands;
  }

  /** Resolves when it takes commands. @throws what keeps it from that */
  async connected(): Promise<void> {
    await Promise.all(this.#all.map(ready));
  }

  /** From now on what a script wrote counts only when it has reached these. */
  async promise(replication: Replication): Promise<void> {
    const redis = this.#connect('commands');
    this.#promised = { redis, wait: new ReplicaWait(redis, replication) };
    await ready(redis);
  }

  /** @throws what ioredis throws, and BrokerError unavailable where too few replicas have it in time */
  async run(script: RedisScript, tag: string, args: readonly (string | number)[]): Promise<RedisReply> {
    const promised = script.isPromised ? this.#promised : undefined;
    const redis = promised?.redis ?? this.#commands;
    try {
      return await this.#call(redis, promised?.wait, script, tag, args);
    } catch (error) {
      // It did not run, so it may be sent again.
      if (!isReplyError(error) || wordOf(error.message) !== 'NOSCRIPT') throw error;
      await this.#load(redis, script);
      return this.#call(redis, promised?.wait, script, tag, args);
    }
  }

  subscriber(): ChannelSubscriber {
    this.#subscriber ??= new ChannelSubscriber(this.#connect('subscriber'), this.#onMoved);
    return this.#subscriber;
  }

  probe(): void {
    this.#subscriber?.probe();
  }

  close(): void {
    this.#subscriber?.close();
    for (const redis of this.#all) redis.disconnect();
  }

  async #call(redis: Redis, wait: ReplicaWait | undefined, script: RedisScript, tag: string, args: readonly (string | number)[]): Promise<RedisReply> {
    const reply = redis.evalsha(script.sha, 1, tag, ...args) as Promise<RedisReply>;
    if (wait === undefined) return reply;
    const reached = wait.forWhatWasSent();
    const [answer] = await Promise.all([reply, reached]);
    return answer;
  }

  #load(redis: Redis, script: RedisScript): Promise<unknown> {
    let loading = this.#loading.get(script.sha);
    if (loading === undefined) {
      loading = redis.script('LOAD', script.lua).finally(() => this.#loading.delete(script.sha));
      this.#loading.set(script.sha, loading);
    }
    return loading;
  }

  #connect(purpose: 'commands' | 'subscriber'): Redis {
    const redis = this.#connections.connect(purpose);
    redis.on('error', (error: Error) => {
      this.#lastError = error;
    });
    this.#all.push(redis);
    // It tries again by itself; who needs it now asks `connected`.
    redis.connect().catch(() => undefined);
    return redis;
  }
}

/** Resolves when the connection is ready; rejects when the first try fails. */
async function ready(redis: Redis): Promise<void> {
  if (redis.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    const done = (settle: () => void): void => {
      redis.off('ready', onReady);
      redis.off('error', onError);
      redis.off('close', onClose);
      settle();
    };
    const onReady = (): void => done(resolve);
    const onError = (error: Error): void => done(() => reject(error));
    const onClose = (): void => done(() => reject(new BrokerError('unavailable', 'the connection was closed before it was ready')));
    redis.on('ready', onReady);
    redis.on('error', onError);
    redis.on('close', onClose);
  });
}
