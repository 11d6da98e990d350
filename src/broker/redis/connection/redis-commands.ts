// What the parts of this engine ask of Redis: run a script where a partition is, and hear what is published there.
// Who is connected to what, and what is tried again, is behind this (redis-nodes.ts).
import { createHash } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import type { RedisKeys } from '../keys.ts';

/** One Lua script. It is called with KEYS[1] = the partition's tag and ARGV[1] = the time (see partition-lua.ts). */
export interface RedisScript {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
  /** What it wrote, or saw, must be as safe as was promised before its reply counts (WAIT, with `replicated:n`). */
  readonly isPromised: boolean;
  /** A full server refuses it: once one has run, there is room again. Others say nothing about that. */
  readonly needsRoom: boolean;
}

/** Of a script that a full server runs as well: what it adds is bounded, or it checks the bound itself. */
const ALLOW_FULL = '#!lua flags=allow-oom\n';

interface Traits extends Partial<Pick<RedisScript, 'isPromised' | 'needsRoom'>> {
  readonly allowsFull?: boolean;
}

export function redisScript(
  name: string,
  text: string,
  { isPromised = false, needsRoom = false, allowsFull = false }: Traits = {},
): RedisScript {
  const lua = allowsFull ? ALLOW_FULL + text : text;
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex'), isPromised, needsRoom };
}

/** What ioredis makes of a script's reply. */
export type RedisReply = string | number | null | readonly RedisReply[];

export interface ChannelListener {
  /** In the order of publishing, while the subscription stands. */
  message(payload: Buffer): void;
  /** The subscription stands, for the first time or again: whatever was published before may have been missed. */
  subscribed(): void;
}

export interface ChannelSubscription {
  /** Idempotent. Nothing is heard any more. */
  close(): void;
}

export interface RedisCommands {
  readonly keys: RedisKeys;
  readonly clock: Clock;
  /** Calls `script` with KEYS[1] = P, ARGV = [time, ...args], atomically on the master that has the partition. An
   *  error means that it may or may not have run, unless its code says otherwise.
   *  @throws BrokerError unavailable, disk-full, corrupt, closed, overloaded (not sent) */
  run(script: RedisScript, partition: number, args: readonly (string | number)[]): Promise<RedisReply>;
  /** Subscribes now or as soon as the node can be reached, again after every reconnect, until it is closed. Several
   *  listeners may share a channel. Never throws: a channel that cannot be had is one that never says `subscribed`. */
  subscribe(partition: number, channel: string, listener: ChannelListener): ChannelSubscription;
}
