// One Redis server and this process's connections to it: one for commands, one for subscriptions, and, where an append
// must reach replicas before it counts, one for the scripts that wait for replicas, so that no other command waits.
// After a reconnect another server may answer at the address, so each new connection verifies what the server keeps.
import type { Redis } from 'ioredis';
import type { Clock } from '../../../base/clock.ts';
import { BrokerError, isBrokerError } from '../../errors.ts';
import { ChannelSubscriber } from './channel-subscriber.ts';
import type { RedisReply, RedisScript } from './redis-commands.ts';
import { isReplyError, NotSentError, wordOf } from './redis-errors.ts';
import { ReplicaWait, type Replication } from './replica-wait.ts';

/** A refused server is verified again after this time, when a command needs it. */
const ASK_AGAIN_MS = 1_000;

export interface NodeOptions {
  /** The address, for messages to an operator. Never with a password. */
  readonly name: string;
  readonly clock: Clock;
  readonly connect: (purpose: 'commands' | 'subscriber') => Redis;
  /** Returns the replicas that an append must reach, if any. @throws BrokerError invalid-config */
  readonly verify: (redis: Redis, name: string) => Promise<Replication | undefined>;
  /** Channels may be at another server now. */
  readonly onMoved: () => void;
  /** Receives what a listener of a channel threw. */
  readonly onError: (error: unknown) => void;
}

type Standing =
  | { readonly kind: 'verified' }
  | { readonly kind: 'unknown'; readonly error: unknown }
  | { readonly kind: 'refused'; readonly error: unknown; readonly at: number };

export class RedisNode {
  readonly name: string;
  readonly #options: NodeOptions;
  readonly #commands: Redis;
  readonly #all: Redis[] = [];
  readonly #loading = new Map<string, Promise<unknown>>();
  #standing: Standing = { kind: 'unknown', error: notConnected() };
  /** Raised when the connection ends. */
  #closes = 0;
  #verifying: Promise<void> | undefined;
  #promised: { readonly redis: Redis; readonly wait: ReplicaWait } | undefined;
  #subscriber: ChannelSubscriber | undefined;

  constructor(options: NodeOptions) {
    this.name = options.name;
    this.#options = options;
    this.#commands = this.#connect('commands');
    this.#commands.on('close', () => {
      this.#closes += 1;
      this.#standing = { kind: 'unknown', error: notConnected() };
    });
    this.#commands.on('ready', () => void this.#verify());
  }

  get isReady(): boolean {
    return this.#standing.kind === 'verified' && this.#all.every(({ status }) => status === 'ready');
  }

  /** The connection for commands that concern the server itself, such as INFO. */
  get commands(): Redis {
    return this.#commands;
  }

  /** Resolves when the server is connected. @throws the error of the first try that fails */
  async connected(): Promise<void> {
    await ready(this.#commands);
  }

  /** Resolves when the server takes scripts. @throws BrokerError invalid-config, and what `connected` throws */
  async usable(): Promise<void> {
    await this.connected();
    await (this.#verifying ?? (this.#standing.kind === 'verified' ? undefined : this.#verify()));
    if (this.#standing.kind !== 'verified') throw this.#standing.error;
  }

  /** @throws what ioredis throws, and BrokerError unavailable: it does not keep what is promised, or too few replicas
   *  do */
  async run(script: RedisScript, tags: readonly string[], args: readonly (string | number)[]): Promise<RedisReply> {
    if (this.#standing.kind !== 'verified') await this.#mustBeVerified();
    const promised = script.isPromised ? this.#promised : undefined;
    const redis = promised?.redis ?? this.#commands;
    try {
      return await call(redis, promised?.wait, script, tags, args);
    } catch (error) {
      // The script did not run, so it may be sent again.
      if (!isReplyError(error) || wordOf(error.message) !== 'NOSCRIPT') throw error;
      await this.#load(redis, script);
      return call(redis, promised?.wait, script, tags, args);
    }
  }

  subscriber(): ChannelSubscriber {
    this.#subscriber ??= new ChannelSubscriber(this.#connect('subscriber'), this.#options);
    return this.#subscriber;
  }

  probe(): void {
    this.#subscriber?.probe();
  }

  close(): void {
    this.#subscriber?.close();
    for (const redis of this.#all) redis.disconnect();
  }

  async #mustBeVerified(): Promise<void> {
    if (this.#mayBeAsked()) void this.#verify();
    await this.#verifying;
    if (this.#standing.kind === 'verified') return;
    const { error } = this.#standing;
    // The server was accepted at the start, and may be accepted again without a restart of this node.
    throw new NotSentError(error instanceof Error ? error.message : 'the server was refused', { cause: error });
  }

  #mayBeAsked(): boolean {
    const standing = this.#standing;
    if (standing.kind === 'refused') return standing.at + ASK_AGAIN_MS <= this.#options.clock.mono();
    return this.#commands.status === 'ready';
  }

  /** Never rejects: the outcome is in `#standing`. */
  #verify(): Promise<void> {
    this.#verifying ??= this.#askForPromise().finally(() => {
      this.#verifying = undefined;
    });
    return this.#verifying;
  }

  /** If the connection breaks during the check, the outcome says nothing about the server. The next connection may be
   *  ready already, so the check runs again on it: otherwise this node would stay unavailable with a working
   *  connection. */
  async #askForPromise(): Promise<void> {
    for (;;) {
      const closes = this.#closes;
      const standing = await this.#ask();
      if (closes === this.#closes) {
        this.#standing = standing;
        return;
      }
      if (this.#commands.status !== 'ready') return;
    }
  }

  async #ask(): Promise<Standing> {
    try {
      const replication = await this.#options.verify(this.#commands, this.name);
      if (replication !== undefined) await this.#waitFor(replication);
      return { kind: 'verified' };
    } catch (error) {
      const isRefused = isBrokerError(error) || isReplyError(error);
      return isRefused ? { kind: 'refused', error, at: this.#options.clock.mono() } : { kind: 'unknown', error };
    }
  }

  /** From now on the reply of a promised script counts only when its writes have reached these replicas. */
  async #waitFor(replication: Replication): Promise<void> {
    const redis = this.#promised?.redis ?? this.#connect('commands');
    this.#promised = { redis, wait: new ReplicaWait(redis, replication) };
    await ready(redis);
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
    const redis = this.#options.connect(purpose);
    // The caller of a command receives the error. Without a listener here it would end the process.
    redis.on('error', () => undefined);
    this.#all.push(redis);
    // The client retries by itself; a caller that needs the connection awaits `connected`.
    redis.connect().catch(() => undefined);
    return redis;
  }
}

function notConnected(): BrokerError {
  return new BrokerError('unavailable', 'not connected');
}

/** WAIT is sent after the script on the same connection, within the same turn of the event loop. */
async function call(
  redis: Redis,
  wait: ReplicaWait | undefined,
  script: RedisScript,
  tags: readonly string[],
  args: readonly (string | number)[],
): Promise<RedisReply> {
  // eslint-disable-next-line no-restricted-syntax -- bounded by the limits of an append and of a batch
  const reply = redis.evalsha(script.sha, tags.length, ...tags, ...args) as Promise<RedisReply>;
  if (wait === undefined) return reply;
  const [answer] = await Promise.all([reply, wait.forWhatWasSent()]);
  return answer;
}

/** Resolves when the connection is ready; rejects when the try that is under way fails. */
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
    const onClose = (): void =>
      done(() => reject(new BrokerError('unavailable', 'the connection was closed before it was ready')));
    redis.on('ready', onReady);
    redis.on('error', onError);
    redis.on('close', onClose);
  });
}
