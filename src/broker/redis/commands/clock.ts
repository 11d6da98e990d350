// The script that reads the server's clock and the time on record, and then records the node's estimate.
//   ARGV  time, the node's estimate or '' (records nothing)
// Returns {ms by the server's clock, ms on record or ''}.
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { PARTITION_KEYS } from '../keys.ts';
import { PARTITION_LUA } from './partition-lua.ts';

export const CLOCK = redisScript(
  'clock',
  `${PARTITION_LUA}
local key = part .. '${PARTITION_KEYS.clock}'
local before = redis.call('GET', key) or ''
if ARGV[2] ~= '' then redis.call('SET', key, ARGV[2]) end
return {string.format('%.0f', now), before}
`,
  { allowsFull: true },
);

export function encodeClock(estimate: string): string[] {
  return [estimate];
}

/** Both in ms since 1970; `recorded` is undefined if no time is on record. @throws BrokerError corrupt */
export function decodeClock(reply: RedisReply): { readonly wall: number; readonly recorded: number | undefined } {
  const [wall, recorded] = Array.isArray(reply) ? reply.map(String) : [];
  if (wall === undefined || recorded === undefined || !/^\d+$/.test(wall)) throw wrongReply('clock');
  return { wall: Number(wall), recorded: /^\d+$/.test(recorded) ? Number(recorded) : undefined };
}
