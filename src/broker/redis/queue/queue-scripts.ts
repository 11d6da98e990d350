// The scripts of group consumption, each one step of a queue, whole or not at all. What they share, and the keys, is in
// queue-lua.ts. All have KEYS[1] = P and ARGV[1] = the time (partition-lua.ts), and ARGV[2] = the group; the rest and
// the reply stand at each. A view is how the group's queue in this partition stands after the script.
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';
import { redisScript } from '../connection/redis-commands.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { QUEUE_LUA } from '../commands/queue-lua.ts';
import { TOPIC_LUA } from '../commands/topic-lua.ts';

/** Names looked at by one call that opens a group: some ms. */
const SCAN_NAMES_MAX = 500;
/** Topics found to have nothing to consume by one call that takes: only what has vanished leaves such behind. */
const STALE_MAX = 100;

/** What a step of a queue adds is little and soon gone, so a full server is to let it pass: it does when a script
 *  begins with a write that deletes. (No key stands there.) */
const STEP_LUA = `${TOPIC_LUA}
redis.call('DEL', part)
`;

/**
 * Makes the group known in this partition, and looks for what was written before it was. Called until it says 'open'.
 *   ARGV[3] pattern   ARGV[4] how many groups there may be
 *   → 'refused' code message | 'more' | 'open' view
 * A topic whose time was up before is not held back by a group that comes later, unless another holds it still: then
 * from now on by both.
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
 * Leases the topic that has waited longest in a class, if there is one; with class '' it only looks.
 *   ARGV[3] class   ARGV[4] token   ARGV[5] ms until the lease is lost
 *   → 'unknown' (the group, here) | 'view' view | 'taken' view topic epoch offset attempt priority
 * The offset is the first that is not consumed: a record's or, if that was superseded since, a hole's.
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
 * Consumes a taken topic up to an offset, and lets go of it or, stepping over a hole, keeps it if more follows.
 *   ARGV[3] topic   ARGV[4] token   ARGV[5] epoch   ARGV[6] the first offset not consumed then   ARGV[7] '1' to keep it
 *   → 'done' view | 'kept' view | 'lost' view
 * Sent again because its answer was lost, it finds no lease, but that it is consumed, and that is what was asked.
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
-- Its time may have been up while it was not consumed.
hl_topic(topic)
hl_enqueue(part, group, topic)
return {'done', hl_tell(part, group)}
`,
  { isPromised: true, allowsFull: true },
);

/**
 * Gives taken topics back: at once or after a while; as if they had never been taken, where nobody got the record.
 *   ARGV[3] ms   ARGV[4] '1' to count no attempt   ARGV[5…] topic, token, topic, token, …
 *   → how many were still held, view
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
 * A taken topic is held for that long from now.
 *   ARGV[3] topic   ARGV[4] token   ARGV[5] ms
 *   → 1 or, where the lease was lost, 0
 * Nobody is told: who looks at the earlier deadline finds the later one.
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
 * Where topics of this partition wait.
 *   ARGV[2] group   ARGV[3…] topics
 *   → class, turn, class, turn, … with '' twice for one that does not wait
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
 * How many topics of this partition wait before each of these places.
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
