// The script that records the store's layout once. With another number of partitions a node would look for topics in
// the wrong partition, so each node compares its layout with the recorded one.
//   ARGV  time, layout version, partitions
// Returns {version, partitions} as the first node recorded them.
import { PARTITION_KEYS } from '../keys.ts';
import { PARTITION_LUA } from './partition-lua.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';

export const LAYOUT = redisScript(
  'layout',
  `${PARTITION_LUA}
local key = part .. '${PARTITION_KEYS.layout}'
if redis.call('EXISTS', key) == 0 then redis.call('HSET', key, 'version', ARGV[2], 'partitions', ARGV[3]) end
return redis.call('HMGET', key, 'version', 'partitions')
`,
);

export interface Layout {
  readonly version: number;
  readonly partitions: number;
}

export function encodeLayout({ version, partitions }: Layout): number[] {
  return [version, partitions];
}

export function decodeLayout(reply: RedisReply): Layout {
  const [version = NaN, partitions = NaN] = Array.isArray(reply) ? reply.map(Number) : [];
  return { version, partitions };
}
