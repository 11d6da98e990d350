// How a node of the version before the schedule (0.2.0 and earlier development versions) took a topic: the one that
// waits longest in a class of one partition, past the schedule. The text is that version's script, without its view.
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../../../../src/broker/redis/keys.ts';
import { TOPIC_LUA } from '../../../../src/broker/redis/commands/topic-lua.ts';

/** KEYS[1] = P, ARGV: time, group, class, token, ms until the lease is lost. → topic, epoch and offset, or nothing */
export const EARLIER_TAKE = `${TOPIC_LUA}
redis.call('DEL', part)
local group, class, token, visibility_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local changed = hl_sweep(part, group)
hl_see()
local waiting = hl_queue(part, group, class)
local topic = redis.call('ZRANGE', waiting, 0, 0)[1]
if not topic then return {} end
local t = hl_topic(topic)
local consumed, priority = unpack(redis.call('HMGET', part .. '${TOPIC_KEYS.meta}' .. topic, '${META.consumed}' .. group, '${META.priority}'))
local offset = tonumber(consumed or 0)
local tries = hl_queue(part, group, 'tries')
local last, count = string.match(redis.call('HGET', tries, topic) or '', '^(%d+) (%d+)$')
local attempt = tonumber(last) == offset and count + 1 or 1
redis.call('ZREM', waiting, topic)
redis.call('ZADD', hl_queue(part, group, 'due'), now + visibility_ms, topic)
redis.call('HSET', hl_queue(part, group, 'lease'), topic, token)
redis.call('HSET', tries, topic, string.format('%.0f %.0f', offset, attempt))
redis.call('SPUBLISH', part .. '${PARTITION_KEYS.wake}', 'view ' .. hl_view(part, group))
return {topic, t.epoch, offset}
`;
