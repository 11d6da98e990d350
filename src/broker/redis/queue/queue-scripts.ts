// The scripts of group consumption. Each is one atomic step of a queue. Shared functions and the keys are in
// queue-lua.ts. All have KEYS[1] = P, ARGV[1] = the time (partition-lua.ts), and ARGV[2] = the group; each script's
// comment gives its other arguments and its reply. A view is the state of the group's queue in this partition after the
// script.
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';
import { redisScript } from '../connection/redis-commands.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { QUEUE_LUA } from '../commands/queue-lua.ts';
import { TOPIC_LUA } from '../commands/topic-lua.ts';

/** The most names that one call of OPEN_GROUP examines, which takes some ms. */
const SCAN_NAMES_MAX = 500;
/** The most queued topics without anything to consume that one TAKE drops. Only topics that have vanished leave such
 *  entries. */
const STALE_MAX = 100;

/** Lets a full server run a step of a queue, which adds little data for a short time: Redis runs a script whose first
 *  write deletes. (There is no key of this name.) */
const STEP_LUA = `${TOPIC_LUA}
redis.call('DEL', part)
`;

/**
 * Makes the group known in this partition, and queues the topics that were written before. Called until it returns
 * 'open'.
 *   ARGV[3] pattern   ARGV[4] the most groups
 *   → 'refused' code message | 'more' | 'open' view
 * A new group does not keep a topic that had expired before, unless another group still keeps it. Then both groups keep
 * it from now on.
 */
export const OPEN_GROUP = redisScript(
  'open-group',
  `${TOPIC_LUA}
local group, pattern, groups_max = ARGV[2], ARGV[3], tonumber(ARGV[4])
local groups, scan = part .. '${PARTITION_KEYS.queue}', hl_queue(part, group, 'scan')
local known = redis.call('HGET', groups, group)
if not known then
  if redis.call('HLEN', groups) >= groups_max then return {'refused', 'overloaded', 'at most ' .. groups_max .. ' groups'} end
  known = string.format('%.0f', now) .. ' ' .. pattern
  redis.call('HSET', groups, group, known)
  redis.call('SET', scan, '')
elseif string.match(known, '^%d+ (.*)$') ~= pattern then
  return {'refused', 'invalid-config', 'the group has another pattern'}
end
local after = redis.call('GET', scan)
if not after then return {'open', hl_view(part, group)} end

hl_see()
local since = tonumber(string.match(known, '^%d+'))
local prefix = string.match(pattern, '^[^*]*')
local function find(topic)
  local t = hl_topic(topic)
  if not t or redis.call('ZSCORE', hl_queue(part, group, 'due'), topic) then return end
  if t.expires and t.expires <= since then redis.call('HSET', t.key, '${META.expiresAt}', since + 1) end
  hl_enqueue(part, group, topic)
end
local names = redis.call('ZRANGEBYLEX', part .. '${PARTITION_KEYS.names}', after == '' and '[' .. prefix or '(' .. after, '+', 'LIMIT', 0, ${SCAN_NAMES_MAX})
for _, topic in ipairs(names) do
  if string.sub(topic, 1, #prefix) ~= prefix then
    names = {}
    break
  end
  if hl_matches(pattern, topic) then find(topic) end
end
if #names == ${SCAN_NAMES_MAX} then
  redis.call('SET', scan, names[#names])
  return {'more'}
end
redis.call('DEL', scan)
return {'open', hl_tell(part, group)}
`,
  { isPromised: true, allowsFull: true },
);

/**
 * Leases the topic that has waited longest in a class, if there is one. With class '' it only returns the view.
 *   ARGV[3] class   ARGV[4] token   ARGV[5] ms until the lease is lost
 *   → 'unknown' (the group, here) | 'view' view | 'taken' view topic epoch offset attempt priority
 * The offset is the first that is not consumed. It belongs to a record or, if that was superseded since, to a hole.
 */
export const TAKE = redisScript(
  'take',
  `${STEP_LUA}
local group, class, token, visibility_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('HEXISTS', part .. '${PARTITION_KEYS.queue}', group) == 0 then return {'unknown'} end
local changed = hl_sweep(part, group)
local function answer(...)
  if changed then return {(...), hl_tell(part, group), select(2, ...)} end
  return {(...), hl_view(part, group), select(2, ...)}
end
if class == '' then return answer('view') end
hl_see()

local waiting = hl_queue(part, group, class)
for _ = 1, ${STALE_MAX} do
  local topic = redis.call('ZRANGE', waiting, 0, 0)[1]
  if not topic then break end
  changed = true
  local t = hl_topic(topic)
  local consumed, priority = unpack(redis.call('HMGET', part .. '${TOPIC_KEYS.meta}' .. topic, '${META.consumed}' .. group, '${META.priority}'))
  local offset = tonumber(consumed or 0)
  if not t or offset >= t.next then
    hl_forget(part, group, topic)
  else
    local tries = hl_queue(part, group, 'tries')
    local last, count = string.match(redis.call('HGET', tries, topic) or '', '^(%d+) (%d+)$')
    local attempt = tonumber(last) == offset and count + 1 or 1
    redis.call('ZREM', waiting, topic)
    redis.call('ZADD', hl_queue(part, group, 'due'), now + visibility_ms, topic)
    redis.call('HSET', hl_queue(part, group, 'lease'), topic, token)
    redis.call('HSET', tries, topic, string.format('%.0f %.0f', offset, attempt))
    return answer('taken', topic, t.epoch, offset, attempt, priority or 'normal')
  end
end
return answer('view')
`,
  { allowsFull: true },
);

/**
 * Marks a taken topic as consumed up to an offset, and ends the lease. With `keep` (to step over a hole) the lease
 * continues if more records follow.
 *   ARGV[3] topic   ARGV[4] token   ARGV[5] epoch   ARGV[6] the first offset not consumed then   ARGV[7] '1' to keep it
 *   → 'done' view | 'kept' view | 'lost' view
 * If the script is sent again because its reply was lost, there is no lease any more. It then returns 'done' if the
 * topic is consumed up to the offset.
 */
export const ACK = redisScript(
  'ack',
  `${STEP_LUA}
local group, topic, token, epoch, next, keep = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
local function base(of) return string.match(of, '^[^-]+') end
hl_see()
local t = hl_topic(topic)
local field = '${META.consumed}' .. group
if not t or redis.call('HGET', hl_queue(part, group, 'lease'), topic) ~= token then
  local consumed = t and not keep and base(t.epoch) == base(epoch) and tonumber(redis.call('HGET', t.key, field) or 0) >= next
  return {consumed and 'done' or 'lost', hl_view(part, group)}
end
redis.call('HSET', t.key, field, next)
if keep and next < t.next then
  redis.call('HSET', hl_queue(part, group, 'tries'), topic, string.format('%.0f 1', next))
  return {'kept', hl_view(part, group)}
end
hl_forget(part, group, topic)
-- Ends the topic if it has expired: until now this group may have held it back.
hl_topic(topic)
hl_enqueue(part, group, topic)
return {'done', hl_tell(part, group)}
`,
  { isPromised: true, allowsFull: true },
);

/**
 * Gives taken topics back, at once or after a pause. If no consumer received the record, the attempt is not counted.
 *   ARGV[3] ms   ARGV[4] '1' to count no attempt   ARGV[5…] topic, token, topic, token, …
 *   → the number of leases that were still held, view
 */
export const NACK = redisScript(
  'nack',
  `${STEP_LUA}
local group, delay_ms, uncount = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local tries = hl_queue(part, group, 'tries')
local held = 0
for i = 5, #ARGV, 2 do
  local topic, token = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', hl_queue(part, group, 'lease'), topic) == token then
    held = held + 1
    redis.call('HDEL', hl_queue(part, group, 'lease'), topic)
    if uncount then
      local offset, count = string.match(redis.call('HGET', tries, topic) or '', '^(%d+) (%d+)$')
      if offset then redis.call('HSET', tries, topic, offset .. ' ' .. string.format('%.0f', count - 1)) end
    end
    if delay_ms > 0 then
      redis.call('ZADD', hl_queue(part, group, 'due'), now + delay_ms, topic)
    else
      redis.call('ZREM', hl_queue(part, group, 'due'), topic)
      hl_enqueue(part, group, topic)
    end
  end
end
if held == 0 then return {0, hl_view(part, group)} end
return {held, hl_tell(part, group)}
`,
  { allowsFull: true },
);

/**
 * Extends the lease of a taken topic to the given time from now.
 *   ARGV[3] topic   ARGV[4] token   ARGV[5] ms
 *   → 1, or 0 if the lease was lost
 * Publishes nothing: a node that checks the partition at the earlier deadline finds the later one.
 */
export const EXTEND = redisScript(
  'extend',
  `${STEP_LUA}
local group, topic, token, visibility_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('HGET', hl_queue(part, group, 'lease'), topic) ~= token then return {0} end
redis.call('ZADD', hl_queue(part, group, 'due'), now + visibility_ms, topic)
return {1}
`,
  { allowsFull: true },
);

/**
 * Returns the queue positions of topics of this partition.
 *   ARGV[2] group   ARGV[3…] topics
 *   → class, turn, class, turn, … with '' for both if a topic does not wait
 */
export const POSITIONS = redisScript(
  'places',
  `${PARTITION_LUA}${QUEUE_LUA}
local places = {}
for i = 3, #ARGV do
  local class, turn = '', ''
  for _, one in ipairs(hl_classes) do
    local score = redis.call('ZSCORE', hl_queue(part, ARGV[2], one), ARGV[i])
    if score then class, turn = one, score end
  end
  places[#places + 1] = class
  places[#places + 1] = turn
end
return places
`,
);

/**
 * Counts the topics of this partition that wait before each of the given queue positions.
 *   ARGV[2] group   ARGV[3…] class, turn, class, turn, …
 *   → counts
 */
export const COUNT_BEFORE = redisScript(
  'before',
  `${PARTITION_LUA}${QUEUE_LUA}
local counts = {}
for i = 3, #ARGV, 2 do
  local count = 0
  for _, class in ipairs(hl_classes) do
    local waiting = hl_queue(part, ARGV[2], class)
    if class == ARGV[i] then
      count = count + redis.call('ZCOUNT', waiting, '-inf', '(' .. ARGV[i + 1])
      break
    end
    count = count + redis.call('ZCARD', waiting)
  end
  counts[#counts + 1] = count
end
return counts
`,
);
