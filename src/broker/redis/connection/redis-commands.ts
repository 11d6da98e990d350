// What the parts of this engine need of Redis: to run a script where a place is (keys.ts), and to receive what is
// published there. Connections and retries are behind this interface (redis-nodes.ts).
import { createHash } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import type { RedisKeys } from '../keys.ts';

/** One Lua script. It is called with KEYS[1] = the place's tag and ARGV[1] = the time (see partition-lua.ts). */
export interface RedisScript {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
  /** The reply counts only when everything that the script wrote or read is as safe as promised (WAIT, with
   *  `replicated:n`). */
  readonly isPromised: boolean;
  /** A full server refuses the script, so a success shows that there is room again. Success of other scripts does not.
   *  */
  readonly needsRoom: boolean;
}

/** Starts a script that a full server runs too: what the script adds is bounded, or the script checks the bound. */
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
  /** Called in the order of publishing, while the subscription is active. */
  message(payload: Buffer): void;
  /** The subscription is active, for the first time or again: every message before this call may have been missed. */
  subscribed(): void;
}

export interface ChannelSubscription {
  /** Idempotent. The listener is not called after this. */
  close(): void;
}

export interface RedisCommands {
  readonly keys: RedisKeys;
  readonly clock: Clock;
  /** Calls `script` with KEYS[1] = the place's tag, ARGV = [time, ...args], atomically on the master that has it. An
   *  error means that it may or may not have run, unless its code says otherwise. `others`: places on the same server,
   *  whose tags follow in KEYS.
   *  @throws BrokerError unavailable, disk-full, corrupt, closed, overloaded (not sent) */
  run(
    script: RedisScript,
    place: number,
    args: readonly (string | number)[],
    others?: readonly number[],
  ): Promise<RedisReply>;
  /** Subscribes now or as soon as the node can be reached, again after every reconnect, until it is closed. Several
   *  listeners may share a channel. Never throws: for a channel that cannot be subscribed, `subscribed` is never
   *  called. */
  subscribe(partition: number, channel: string, listener: ChannelListener): ChannelSubscription;
}
