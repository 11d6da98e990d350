// The fair order of one group, in Lua: the rules of broker/group/schedule.ts and fair-class.ts, for all nodes that
// consume in the group. test/broker/redis/schedule.test.ts drives both with the same histories. Follows PARTITION_LUA,
// with part = G, the group's own slot.
//
//   G:s                  hash: `seq`, the last ticket; and for each class, as in Schedule and FairClass,
//                        '<since> <passed over> <resting> <waiting> <guess> <served> <turns>'
//   G:f:<class>          hash: flow → its record as in FlowRecord and InnerFlow,
//                        '<virtual> <turn> <least> <waiting> <held> <guess> <weight> <list> <served> <turns>'
//                        (list: 1 ready, 2 resting, else 0)
//   G:w:<class>:<inner>  zset: the ready flows of an inner flow, score = virtual time,
//                        member = 16 digits of the turn and the flow
//   G:r:<class>:<inner>  zset: its resting flows, likewise
//   G:q:<class>:<flow>   zset: topics that wait, score = their turn in their partition
//                        An inner flow ends with a slash ('tenant/', 'tenant/user/'), a leaf with a space, and the flow
//                        around all is ''.
//   G:i                  hash: topic → 'w <class> <flow>' while it waits, 'h <ticket>' while it is picked
//   G:h                  hash: ticket → '<class> <guess> <1: leased> <turn in the partition> <topic> <flow>'
//   G:d                  zset: ticket → until when the schedule takes the topic for held (ms)
//   G:c                  hash: partition → up to where its queue has been entered here (queue-scripts.ts)
//
// What waits is decided by the partitions, so the schedule may be wrong about a topic, and every mistake ends:
//  - A picked topic is held until its ticket is settled. A ticket that is not settled in time makes its topic wait
//    again.
//  - A topic that waits here and not in its partition is picked, is not leased, and is settled as unused.
//  - A topic that comes to wait in its partition gets a later turn there than G:c has, so a node enters it.
import { COST_MAX, COST_MIN, FIRST_GUESS, MEAN_GAIN, RESTING_FLOWS_MAX } from '../../group/fair-class.ts';
import { PASSED_OVER_MAX } from '../../group/ready-list.ts';
import { AGE_MS } from '../../group/schedule.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';

/** A topic that was picked and is not leased by then waits again. */
export const PICKED_MS = 5000;
/** The schedule takes a leased topic for held this long after the lease: the partition ends the lease first. */
const SETTLE_MS = 5000;
/** Tickets that one script ends because their time is up. The next script ends more. */
const DUE_MAX = 100;

export const SCHEDULE_LUA = `${PARTITION_LUA}
local order = {'high', 'normal', 'low'}
local items, holdings, deadlines, cursors = part .. ':i', part .. ':h', part .. ':d', part .. ':c'
local saved = redis.call('HMGET', part .. ':s', 'seq', 'high', 'normal', 'low')
local seq = tonumber(saved[1] or 0)

local function numbers(text)
  local found = {}
  for one in string.gmatch(text, '%S+') do found[#found + 1] = tonumber(one) end
  return found
end

local function exact(number)
  return string.format('%.17g', number)
end

local classes = {}
for i, name in ipairs(order) do
  local n = numbers(saved[i + 1] or '0 0 0 0 ${FIRST_GUESS} 0 0')
  local root = {id = '', size = n[4], guess = n[5], served = n[6], turns = n[7]}
  classes[name] = {name = name, since = n[1], passed = n[2], resting = n[3], root = root, nodes = {}, flows = part .. ':f:' .. name}
end

local function queue_of(c, flow)
  return part .. ':q:' .. c.name .. ':' .. flow
end

local function ready_of(c, inner)
  return part .. ':w:' .. c.name .. ':' .. inner.id
end

local function resting_of(c, inner)
  return part .. ':r:' .. c.name .. ':' .. inner.id
end

local function member_of(s)
  return string.format('%016.0f', s.turn) .. s.id
end

-- From the widest part to the leaf.
local function ids_of(flow)
  local ids, at = {}, string.find(flow, '/', 1, true)
  while at do
    ids[#ids + 1] = string.sub(flow, 1, at)
    at = string.find(flow, '/', at + 1, true)
  end
  ids[#ids + 1] = flow .. ' '
  return ids
end

-- The leaf of a flow, with the flows around it as parent. Those that have no record get one.
local function leaf_of(c, flow, weights)
  local ids, unread, node = ids_of(flow), {}, c.root
  for _, id in ipairs(ids) do
    if not c.nodes[id] then unread[#unread + 1] = id end
  end
  if #unread > 0 then
    for i, text in ipairs(redis.call('HMGET', c.flows, unpack(unread))) do
      if text then
        local n = numbers(text)
        c.nodes[unread[i]] = {id = unread[i], virtual = n[1], turn = n[2], least = n[3], size = n[4], held = n[5], guess = n[6], weight = n[7], list = n[8], served = n[9], turns = n[10]}
      end
    end
  end
  weights = weights and numbers(weights) or {}
  for i, id in ipairs(ids) do
    local s = c.nodes[id]
    if not s then
      s = {id = id, virtual = 0, turn = 0, least = 0, size = 0, held = 0, guess = node.guess, weight = 1, list = 0, served = 0, turns = 0}
      c.nodes[id] = s
    end
    s.weight = weights[i] or s.weight
    s.parent = node
    node = s
  end
  return node
end

-- The flow with the least virtual time, and that time.
local function first_of(zset)
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  if not first[1] then return nil, math.huge end
  return first[1], tonumber(first[2])
end

local function floor_of(c, inner)
  local _, virtual = first_of(ready_of(c, inner))
  return math.min(virtual, inner.served)
end

local function forget(c, id)
  redis.call('HDEL', c.flows, id)
  c.nodes[id] = nil
end

local function drop_first(c, inner, member)
  redis.call('ZREM', resting_of(c, inner), member)
  forget(c, string.sub(member, 17))
  c.resting = c.resting - 1
end

local function drop_rested(c, inner)
  if c.resting == 0 then return end
  while true do
    local member, virtual = first_of(resting_of(c, inner))
    if not member or virtual > floor_of(c, inner) then return end
    drop_first(c, inner, member)
  end
end

-- Drops the flows inside an inner flow with nothing waiting and nothing held: all of them rest.
local function clear(c, inner)
  if string.sub(inner.id, -1) ~= '/' then return end
  local members = redis.call('ZRANGE', resting_of(c, inner), 0, -1)
  redis.call('DEL', resting_of(c, inner))
  c.resting = c.resting - #members
  for _, member in ipairs(members) do
    local id = string.sub(member, 17)
    clear(c, {id = id})
    forget(c, id)
  end
end

-- Keeps the widest flow around this one with nothing waiting and nothing held only as long as it is ahead of the
-- others.
local function rest(c, leaf)
  local idle, one = nil, leaf
  while one.parent and one.size == 0 and one.held == 0 do
    if idle then forget(c, idle.id) end
    clear(c, one)
    idle = one
    one = one.parent
  end
  if not idle or idle.list == 2 then return end
  local inner = idle.parent
  idle.list = 2
  c.resting = c.resting + 1
  redis.call('ZADD', resting_of(c, inner), exact(idle.virtual), member_of(idle))
  drop_rested(c, inner)
  local member = first_of(resting_of(c, inner))
  if member and c.resting > ${RESTING_FLOWS_MAX} then drop_first(c, inner, member) end
end

-- Charges the flow and each flow around it.
local function charge(c, leaf, tokens)
  local one = leaf
  while one.parent do
    local inner = one.parent
    one.virtual = math.max(one.least, one.virtual + tokens / one.weight)
    if one.list == 1 then redis.call('ZADD', ready_of(c, inner), exact(one.virtual), member_of(one)) end
    if not first_of(ready_of(c, inner)) then inner.served = math.max(inner.served, one.virtual) end
    drop_rested(c, inner)
    one = inner
  end
end

-- The flow becomes ready, and so does each flow around it that was not.
local function enter_flow(c, leaf)
  local one = leaf
  while one.parent do
    local inner = one.parent
    local first, virtual = first_of(ready_of(c, inner))
    if one.list == 2 then
      redis.call('ZREM', resting_of(c, inner), member_of(one))
      c.resting = c.resting - 1
    end
    one.list = 1
    one.least = math.min(virtual, inner.served)
    one.virtual = math.max(one.virtual, one.least)
    inner.turns = inner.turns + 1
    one.turn = inner.turns
    redis.call('ZADD', ready_of(c, inner), exact(one.virtual), member_of(one))
    if first then return end
    one = inner
  end
end

-- A topic of the flow waits no longer. The flow is ready no longer if it was the last, and so is each flow around it.
local function unqueue(c, leaf)
  local one = leaf
  while one do
    one.size = one.size - 1
    one = one.parent
  end
  one = leaf
  while one.parent and one.size == 0 do
    redis.call('ZREM', ready_of(c, one.parent), member_of(one))
    one.list = 0
    one = one.parent
  end
end

local function add(topic, name, flow, at, weights)
  local c = classes[name]
  if c.root.size == 0 then c.since = now end
  local leaf = leaf_of(c, flow, weights)
  redis.call('ZADD', queue_of(c, flow), at, topic)
  redis.call('HSET', items, topic, 'w ' .. name .. ' ' .. flow)
  local one = leaf
  while one do
    one.size = one.size + 1
    one = one.parent
  end
  if leaf.size == 1 then enter_flow(c, leaf) end
end

local function remove(topic, name, flow)
  local c = classes[name]
  redis.call('HDEL', items, topic)
  if redis.call('ZREM', queue_of(c, flow), topic) == 0 then return end
  local leaf = leaf_of(c, flow)
  unqueue(c, leaf)
  rest(c, leaf)
end

local function settle(ticket, how, used)
  local name, guess, isLeased, at, topic, flow = string.match(redis.call('HGET', holdings, ticket) or '', '^(%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  if not name then return nil end
  redis.call('HDEL', holdings, ticket)
  redis.call('ZREM', deadlines, ticket)
  local isHeld = redis.call('HGET', items, topic) == 'h ' .. ticket
  if isHeld then redis.call('HDEL', items, topic) end
  local c = classes[name]
  local leaf = leaf_of(c, flow)
  if how == 'due' then how = isLeased == '1' and 'served' or 'unused' end
  local one = leaf
  if how == 'unused' then
    charge(c, leaf, -guess)
  elseif used then
    local cost = math.max(${COST_MIN}, math.min(${COST_MAX}, used))
    charge(c, leaf, cost - guess)
    while one do
      one.guess = one.guess + ${MEAN_GAIN} * (cost - one.guess)
      one = one.parent
    end
  end
  one = leaf
  while one.parent do
    one.held = one.held - 1
    one = one.parent
  end
  rest(c, leaf)
  if isHeld then return topic, name, flow, at end
end

-- The time of each ticket is up: its topic waits again, in its old place.
local function expire()
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, ${DUE_MAX})) do
    local topic, name, flow, at = settle(ticket, 'due')
    redis.call('ZREM', deadlines, ticket)
    if topic then add(topic, name, flow, at) end
  end
end

-- A topic that waits already keeps its position, unless its class is another one. A topic that is held waits again, and
-- its ticket can still be settled.
local function enter(topic, name, flow, at, weights)
  local class, payer = string.match(redis.call('HGET', items, topic) or '', '^w (%S+) (.*)$')
  if class == name and payer == flow then return end
  if class then remove(topic, class, payer) end
  add(topic, name, flow, at, weights)
end

-- The class that has waited longest, if that is too long.
local function aged()
  local found
  for _, name in ipairs(order) do
    local c = classes[name]
    c.since = math.min(c.since, now)
    if c.root.size > 0 and now - c.since >= ${AGE_MS} and (not found or c.since < found.since) then found = c end
  end
  return found
end

local function next_class()
  local only = aged()
  local waiting, chosen = {}, nil
  for _, name in ipairs(order) do
    local c = classes[name]
    if only and c == only or not only and c.root.size > 0 then waiting[#waiting + 1] = c end
  end
  for _, c in ipairs(waiting) do
    if c.passed >= ${PASSED_OVER_MAX} then
      chosen = c
      break
    end
  end
  chosen = chosen or waiting[1]
  for _, c in ipairs(waiting) do c.passed = c == chosen and 0 or c.passed + 1 end
  return chosen
end

local function pick()
  local c = next_class()
  if not c then return nil end
  local id = ''
  repeat id = string.sub(first_of(ready_of(c, {id = id})), 17) until string.sub(id, -1) == ' '
  local flow = string.sub(id, 1, -2)
  local leaf = leaf_of(c, flow)
  local topic, at = unpack(redis.call('ZRANGE', queue_of(c, flow), 0, 0, 'WITHSCORES'))
  redis.call('ZREM', queue_of(c, flow), topic)
  c.since = now
  local one = leaf
  while one.parent do
    local inner = one.parent
    redis.call('ZREM', ready_of(c, inner), member_of(one))
    inner.served = math.max(inner.served, one.virtual)
    inner.turns = inner.turns + 1
    one.turn = inner.turns
    one.held = one.held + 1
    one = inner
  end
  unqueue(c, leaf)
  local guess = leaf.guess
  charge(c, leaf, guess)
  seq = seq + 1
  redis.call('HSET', holdings, seq, table.concat({c.name, exact(guess), '0', at, topic, flow}, ' '))
  redis.call('ZADD', deadlines, now + ${PICKED_MS}, seq)
  redis.call('HSET', items, topic, 'h ' .. seq)
  return topic, seq
end

-- The lease of a picked topic ends in ms.
local function leased(ticket, ms)
  local name, guess, rest = string.match(redis.call('HGET', holdings, ticket) or '', '^(%S+) (%S+) %S+ (.*)$')
  if not name then return end
  redis.call('HSET', holdings, ticket, name .. ' ' .. guess .. ' 1 ' .. rest)
  redis.call('ZADD', deadlines, now + ms + ${SETTLE_MS}, ticket)
end

local function save()
  local fields = {'seq', exact(seq)}
  local function text(...)
    local parts = {...}
    for i, one in ipairs(parts) do parts[i] = exact(one) end
    return table.concat(parts, ' ')
  end
  for _, name in ipairs(order) do
    local c = classes[name]
    fields[#fields + 1] = name
    fields[#fields + 1] = text(c.since, c.passed, c.resting, c.root.size, c.root.guess, c.root.served, c.root.turns)
    for id, s in pairs(c.nodes) do
      redis.call('HSET', c.flows, id, text(s.virtual, s.turn, s.least, s.size, s.held, s.guess, s.weight, s.list, s.served, s.turns))
    end
  end
  redis.call('HSET', part .. ':s', unpack(fields))
end
`;
