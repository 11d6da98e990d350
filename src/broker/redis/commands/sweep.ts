// The script that ends expired topics of one partition, for topics that no request reaches.
//   ARGV  time, keeps (see append.ts), limit
// Returns the number of topics examined. If it equals the limit, there may be more.
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { TOPIC_LUA } from './topic-lua.ts';

/** The time until the sweep examines an expired topic again that a group has not consumed yet. */
const LAGGING_MS = 60_000;

export const SWEEP = redisScript(
  'sweep',
  `${TOPIC_LUA}
hl_look(ARGV[2] == '1')
local due = part .. '${PARTITION_KEYS.due}'
local names = redis.call('ZRANGEBYSCORE', due, '-inf', lifetime_now, 'LIMIT', 0, ARGV[3])
for _, name in ipairs(names) do
  local t = hl_topic(name)
  if not t then
    -- The topic ended just now, or another program deleted its hash.
    redis.call('ZREM', due, name)
    redis.call('ZREM', part .. '${PARTITION_KEYS.names}', name)
  else
    local at = math.max(t.expires or 0, lifetime_now + ${LAGGING_MS})
    if t.expires and t.expires > lifetime_now then at = t.expires elseif t.ends then at = math.min(at, t.ends) end
    redis.call('ZADD', due, at, name)
    redis.call('HSET', part .. '${TOPIC_KEYS.meta}' .. name, '${META.dueAt}', at)
  end
end
return #names
`,
  { allowsFull: true },
);

export function encodeSweep(isKept: boolean, limit: number): (string | number)[] {
  return [isKept ? '1' : '0', limit];
}

export function decodeSweep(reply: RedisReply): number {
  return Number(reply);
}
