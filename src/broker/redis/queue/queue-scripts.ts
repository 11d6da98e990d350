// The scripts of group consumption. Each is one atomic step of a queue. Shared functions and the keys are in
// queue-lua.ts. All have KEYS[1] = P, ARGV[1] = the time (partition-lua.ts), and ARGV[2] = the group; each script's
// comment gives its other arguments and its reply. What is next is decided by the group's schedule
// (schedule-scripts.ts): DRAIN says what came to wait here, and LEASE takes what the schedule has picked.
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';
import { redisScript } from '../connection/redis-commands.ts';
import { TOPIC_LUA } from '../commands/topic-lua.ts';

/** The most names that one call of OPEN_GROUP examines, which takes some ms. */
const SCAN_NAMES_MAX = 500;
/** The most topics of one class that one DRAIN returns. */
const DRAINED_MAX = 64;
/** The most bytes of data that one LEASE returns. The node reads a record that does not fit. */
const LEASED_BYTES_MAX = 256 * 1024;

/** Lets a full server run a step of a queue, which adds little data for a short time: Redis runs a script whose first
 *  write deletes. (There is no key of this name.) */
const STEP_LUA = `${TOPIC_LUA}
redis.call('DEL', part)
`;

/**
 * Makes the group known in this partition, and queues the topics that were written before. Called until it returns
 * 'open'.
 *   ARGV[3] pattern   ARGV[4] the most groups
 *   → 'refused' code message | 'more' | 'open'
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
if not after then return {'open'} end

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
hl_tell(part, group)
return {'open'}
`,
  { isPromised: true, allowsFull: true },
);

/**
 * Ends the leases and the pauses whose time is up, and returns the topics that came to wait since the cursor. A cursor
 * is '<era> <turn> <turn> <turn>', a turn for each class; '' is the start. A topic that comes to wait gets a later turn
 * than any before it, also when an earlier version of the append queues it. In a new era turns may start again
 * (topic-lua.ts).
 *   ARGV[3] cursor
 *   → 'unknown' (the group, here) | 'new' due cursor more topic class turn topic class turn …
 * `due`: ms until the next lease or pause ends, or -1. `more`: 1 if more topics follow the new cursor.
 */
export const DRAIN = redisScript(
  'drain',
  `${STEP_LUA}
local group, cursor = ARGV[2], ARGV[3]
if redis.call('HEXISTS', part .. '${PARTITION_KEYS.queue}', group) == 0 then return {'unknown'} end
if hl_sweep(part, group) then hl_tell(part, group) end
hl_see()
local era, high, normal, low = string.match(cursor, '^(%S+) (%S+) (%S+) (%S+)$')
local from = era == hl_era and {high, normal, low} or {'0', '0', '0'}
local reply = {'new', hl_due(part, group), '', 0}
for i, class in ipairs(hl_classes) do
  local found = redis.call('ZRANGEBYSCORE', hl_queue(part, group, class), '(' .. from[i], '+inf', 'WITHSCORES', 'LIMIT', 0, ${DRAINED_MAX})
  for at = 1, #found, 2 do
    reply[#reply + 1] = found[at]
    reply[#reply + 1] = class
    reply[#reply + 1] = found[at + 1]
    from[i] = found[at + 1]
  end
  if #found == ${2 * DRAINED_MAX} then reply[4] = 1 end
end
reply[3] = hl_era .. ' ' .. table.concat(from, ' ')
return reply
`,
  { allowsFull: true },
);

/**
 * Leases topics that wait, and returns the record of each.
 *   ARGV[3…] topic, token, ms until the lease is lost, and so on
 *   → 'unknown' (the group, here) | 'leased' due, and for each topic:
 *     0                                             it does not wait here
 *     {epoch, offset, attempt, priority}            leased; the offset belongs to a hole, or the record is too large
 *     {epoch, offset, attempt, priority, kind, data}
 * The offset is the first that is not consumed. It belongs to a record or, if that was superseded since, to a hole.
 */
export const LEASE = redisScript(
  'lease',
  `${STEP_LUA}
local group = ARGV[2]
if redis.call('HEXISTS', part .. '${PARTITION_KEYS.queue}', group) == 0 then return {'unknown'} end
local changed = hl_sweep(part, group)
hl_see()
local due, tries = hl_queue(part, group, 'due'), hl_queue(part, group, 'tries')
local bytes = 0

local function record_of(t, offset)
  for _, kind in ipairs(offset <= t.major and {'M', 'm'} or {'m'}) do
    local stream = part .. (kind == 'M' and '${TOPIC_KEYS.majors}' or '${TOPIC_KEYS.minors}') .. t.name
    local id = string.format('%.0f', offset + 1)
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then return kind, entry[2][2] end
  end
end

local function lease(topic, token, visibility_ms)
  local t = hl_topic(topic)
  local isWaiting = t and redis.call('ZREM', hl_queue(part, group, t.priority), topic) == 1
  local offset = isWaiting and tonumber(redis.call('HGET', t.key, '${META.consumed}' .. group) or 0)
  if not isWaiting or offset >= t.next then
    -- A topic that has ended or vanished, or that waits in a class that is not its own, is queued again if need be.
    if redis.call('ZSCORE', due, topic) or not hl_forget(part, group, topic) then return 0 end
    changed = true
    hl_enqueue(part, group, topic)
    return 0
  end
  local last, count = string.match(redis.call('HGET', tries, topic) or '', '^(%d+) (%d+)$')
  local attempt = tonumber(last) == offset and count + 1 or 1
  redis.call('ZADD', due, now + visibility_ms, topic)
  redis.call('HSET', hl_queue(part, group, 'lease'), topic, token)
  redis.call('HSET', tries, topic, string.format('%.0f %.0f', offset, attempt))
  local kind, data = record_of(t, offset)
  if not kind or bytes + #data > ${LEASED_BYTES_MAX} then return {t.epoch, offset, attempt, t.priority} end
  bytes = bytes + #data
  return {t.epoch, offset, attempt, t.priority, kind, data}
end

local first = redis.call('ZRANGE', due, 0, 0)[1]
local reply = {'leased', 0}
for i = 3, #ARGV, 3 do reply[#reply + 1] = lease(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])) end
-- Other nodes must know when the first lease ends, in case this node dies.
reply[2] = hl_due(part, group)
if changed then hl_tell(part, group)
elseif redis.call('ZRANGE', due, 0, 0)[1] ~= first then hl_tell_due(part, group, reply[2]) end
return reply
`,
  { allowsFull: true },
);

/**
 * Marks a taken topic as consumed up to an offset, and ends the lease. With `keep` (to step over a hole) the lease
 * continues if more records follow.
 *   ARGV[3] topic   ARGV[4] token   ARGV[5] epoch   ARGV[6] the first offset not consumed then   ARGV[7] '1' to keep it
 *   → 'done' | 'kept' | 'lost', and 1 if the topic waits again
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
  return {consumed and 'done' or 'lost', 0}
end
redis.call('HSET', t.key, field, next)
if keep and next < t.next then
  redis.call('HSET', hl_queue(part, group, 'tries'), topic, string.format('%.0f 1', next))
  return {'kept', 0}
end
redis.call('ZREM', hl_queue(part, group, 'due'), topic)
redis.call('HDEL', hl_queue(part, group, 'lease'), topic)
redis.call('HDEL', hl_queue(part, group, 'tries'), topic)
-- Ends the topic if it has expired: until now this group may have held it back.
if t.expires and t.expires <= lifetime_now then hl_topic(topic) end
if next >= t.next or not hl_enqueue(part, group, topic) then return {'done', 0} end
hl_tell(part, group)
return {'done', 1}
`,
  { isPromised: true, allowsFull: true },
);

/**
 * Gives taken topics back, at once or after a pause. If no consumer received the record, the attempt is not counted.
 *   ARGV[3] ms   ARGV[4] '1' to count no attempt   ARGV[5…] topic, token, topic, token, …
 *   → the number of leases that were still held, ms until the next lease or pause ends or -1
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
if held > 0 then hl_tell(part, group) end
return {held, hl_due(part, group)}
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
