// The Lua functions for group consumption, shared by every script that may change a queue, including the append.
// Follows PARTITION_LUA. For one group, a queued topic has one of three states: it waits in one class, it is in `due`
// with a lease (taken), or it is in `due` without a lease (given back for a while). So at most one of its records is in
// flight over all nodes. The consumed offset is a field of the topic's own hash and ends with the topic's epoch.
//
//   P:q                  hash: group → '<since> <pattern>': the known groups, and since when (ms)
//   P:q:turn             the last turn given in this partition
//   P:q:<group>:high     zset: topics that wait in that class, score = the turn in which they were queued
//            …:normal, …:low  likewise
//            …:due       zset: topics that are taken or given back for a while, score = until when (ms)
//            …:lease     hash: taken topic → token
//            …:tries     hash: topic → '<offset> <how often that record was delivered>'
//            …:scan      while a new group searches for earlier topics: the name after which the search continues
//
// A turn is the server's clock in µs, and no turn is given twice. Turns order the queued topics, also across
// partitions as far as the clocks of their masters agree. The order in which they are delivered is that of the group's
// schedule (schedule/schedule-lua.ts), which enters the topics that came to wait; what waits is decided here.
//
// Messages on P:w publish that a queue has changed, so that a node that wants deliveries enters what came to wait:
//   view <group> <turn> <now> <high> <normal> <low> <due>     the first turn of each class and the first deadline, or -
//   due <group> 0 <now> - - - <due>                           only the first deadline has changed
//   lost <group> <topic> <token>                              the lease ended with its topic
//
// Functions for the rest of the engine:
//   hl_mark(part, topic)                      after every write to a topic, even one without records
//   hl_drop(part, topic)                      when the topic has ended
//   hl_lagging(part, topic, meta_key, next)   before the topic expires: whether a known group has records to consume

import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';

/** The most leases and pauses that one script ends. The next script ends the rest. */
const SWEEP_MAX = 100;

export const MATCH_LUA = `
-- Names contain no other character that has a meaning in a Lua pattern.
local function hl_matches(pattern, topic)
  local escaped = string.gsub(pattern, '[.-]', '%%%0')
  return string.find(topic, '^' .. string.gsub(escaped, '%*', '[^/]+') .. '$') ~= nil
end

-- Whether a known group, a value of P:q, consumes the topic. Every append goes through all groups, and most topics have
-- no group, so the text before the first wildcard is compared first.
local function hl_consumes(known, topic)
  local space = string.find(known, ' ', 1, true)
  local star = string.find(known, '*', space, true) or #known + 1
  return string.sub(known, space + 1, star - 1) == string.sub(topic, 1, star - space - 1) and hl_matches(string.sub(known, space + 1), topic)
end
`;

export const QUEUE_LUA = `${MATCH_LUA}
local hl_classes = {'high', 'normal', 'low'}
local hl_last_turn

local function hl_queue(part, group, what)
  return part .. '${PARTITION_KEYS.queue}' .. ':' .. group .. ':' .. what
end

local function hl_turn(part)
  local key = part .. '${PARTITION_KEYS.queue}' .. ':turn'
  if not hl_last_turn then
    local time = redis.call('TIME')
    hl_last_turn = math.max(time[1] * 1000000 + time[2] - 1, tonumber(redis.call('GET', key) or 0))
  end
  hl_last_turn = hl_last_turn + 1
  redis.call('SET', key, hl_last_turn)
  return hl_last_turn
end

-- Calls visit for every known group that consumes this topic, with the time (ms) since when the group is known.
local function hl_each_group(part, topic, visit)
  local groups = redis.call('HGETALL', part .. '${PARTITION_KEYS.queue}')
  for i = 1, #groups, 2 do
    if hl_consumes(groups[i + 1], topic) then visit(groups[i], tonumber(string.match(groups[i + 1], '^%d+'))) end
  end
end

local function hl_view(part, group)
  local view = {group, string.format('%.0f', hl_turn(part)), string.format('%.0f', now)}
  for _, what in ipairs({'high', 'normal', 'low', 'due'}) do
    view[#view + 1] = redis.call('ZRANGE', hl_queue(part, group, what), 0, 0, 'WITHSCORES')[2] or '-'
  end
  return table.concat(view, ' ')
end

local function hl_tell(part, group)
  redis.call('SPUBLISH', part .. '${PARTITION_KEYS.wake}', 'view ' .. hl_view(part, group))
end

-- Ms until the next lease or pause ends, or -1.
local function hl_due(part, group)
  local due = redis.call('ZRANGE', hl_queue(part, group, 'due'), 0, 0, 'WITHSCORES')[2]
  return due and math.max(0, tonumber(due) - now) or -1
end

local function hl_tell_due(part, group, due)
  redis.call('SPUBLISH', part .. '${PARTITION_KEYS.wake}', string.format('due %s 0 %.0f - - - %.0f', group, now, now + due))
end

-- Returns how often the topic was waiting.
local function hl_forget_waiting(part, group, topic)
  local removed = 0
  for _, class in ipairs(hl_classes) do removed = removed + redis.call('ZREM', hl_queue(part, group, class), topic) end
  return removed
end

-- Removes the topic from the group's queue. Returns true if the topic was waiting.
local function hl_forget(part, group, topic)
  local removed = hl_forget_waiting(part, group, topic)
  redis.call('ZREM', hl_queue(part, group, 'due'), topic)
  redis.call('HDEL', hl_queue(part, group, 'lease'), topic)
  redis.call('HDEL', hl_queue(part, group, 'tries'), topic)
  return removed > 0
end

-- Sets the fields for the class and the delay of a write, '<class>+<ms>' with either part.
local function hl_schedule(word, meta_key, set)
  local class, delay = string.match(word, '^(%a*)%+?(%d*)$')
  if class ~= '' then set('${META.priority}', class) end
  if delay ~= '' then set('${META.notBefore}', math.max(now + delay, tonumber(redis.call('HGET', meta_key, '${META.notBefore}') or 0))) end
end

-- For a topic that is neither taken nor given back: lets it wait in the class of its priority, with its old turn if it
-- waits there already. Removes it if the group has nothing left to consume. Returns true if the queue has changed.
local function hl_enqueue(part, group, topic)
  local meta = redis.call('HMGET', part .. '${TOPIC_KEYS.meta}' .. topic, '${META.ended}', '${META.next}', '${META.consumed}' .. group, '${META.priority}', '${META.notBefore}')
  if meta[1] or tonumber(meta[3] or 0) >= tonumber(meta[2] or 0) then return hl_forget(part, group, topic) end
  local class = meta[4] or 'normal'
  if tonumber(meta[5] or 0) > now then
    hl_forget_waiting(part, group, topic)
    redis.call('ZADD', hl_queue(part, group, 'due'), meta[5], topic)
    return true
  end
  if redis.call('ZSCORE', hl_queue(part, group, class), topic) then return false end
  for _, other in ipairs(hl_classes) do
    if other ~= class then redis.call('ZREM', hl_queue(part, group, other), topic) end
  end
  redis.call('ZADD', hl_queue(part, group, class), hl_turn(part), topic)
  return true
end

-- Ends the leases and the pauses whose time is up. Returns true if there were any.
local function hl_sweep(part, group)
  local due = hl_queue(part, group, 'due')
  local topics = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ${SWEEP_MAX})
  for _, topic in ipairs(topics) do
    redis.call('ZREM', due, topic)
    redis.call('HDEL', hl_queue(part, group, 'lease'), topic)
    hl_enqueue(part, group, topic)
  end
  return #topics > 0
end

local function hl_mark(part, topic)
  hl_each_group(part, topic, function(group)
    if redis.call('ZSCORE', hl_queue(part, group, 'due'), topic) then return end
    if hl_enqueue(part, group, topic) then hl_tell(part, group) end
  end)
end

local function hl_drop(part, topic)
  hl_each_group(part, topic, function(group)
    local token = redis.call('HGET', hl_queue(part, group, 'lease'), topic)
    if token then redis.call('SPUBLISH', part .. '${PARTITION_KEYS.wake}', 'lost ' .. group .. ' ' .. topic .. ' ' .. token) end
    if hl_forget(part, group, topic) then hl_tell(part, group) end
  end)
end

-- Ignores a group that became known after the topic's expiry.
local function hl_lagging(part, topic, meta_key, next)
  local lagging = false
  local expires_at = tonumber(redis.call('HGET', meta_key, '${META.expiresAt}') or now)
  hl_each_group(part, topic, function(group, since)
    if since < expires_at and tonumber(redis.call('HGET', meta_key, '${META.consumed}' .. group) or 0) < tonumber(next) then lagging = true end
  end)
  return lagging
end
`;
