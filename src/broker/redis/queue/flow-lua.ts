// The flows of one group's schedule, in Lua: the tree of flow-node.ts and fair-class.ts, with a record for each flow.
// The keys, and how topics are entered, picked and settled, are in schedule-lua.ts. Follows PARTITION_LUA, with
// part = G.
import { FIRST_GUESS, RESTING_FLOWS_MAX } from '../../group/fair-class.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';

export const FLOW_LUA = `${PARTITION_LUA}
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

-- By zset of flows: its first member, once it was read, and its virtual time.
local firsts = {}

-- The flow with the least virtual time, and that time.
local function first_of(zset)
  local known = firsts[zset]
  if not known then
    local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
    known = {first[1], first[1] and tonumber(first[2]) or math.huge}
    firsts[zset] = known
  end
  return known[1], known[2]
end

local function put(zset, virtual, member)
  redis.call('ZADD', zset, exact(virtual), member)
  local known = firsts[zset]
  if not known then return end
  if virtual < known[2] or virtual == known[2] and (not known[1] or member <= known[1]) then firsts[zset] = {member, virtual}
  elseif member == known[1] then firsts[zset] = nil end
end

local function take_out(zset, member)
  redis.call('ZREM', zset, member)
  if firsts[zset] and firsts[zset][1] == member then firsts[zset] = nil end
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
  take_out(resting_of(c, inner), member)
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
  firsts[resting_of(c, inner)] = nil
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
  put(resting_of(c, inner), idle.virtual, member_of(idle))
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
    if one.list == 1 then put(ready_of(c, inner), one.virtual, member_of(one)) end
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
      take_out(resting_of(c, inner), member_of(one))
      c.resting = c.resting - 1
    end
    one.list = 1
    one.least = math.min(virtual, inner.served)
    one.virtual = math.max(one.virtual, one.least)
    inner.turns = inner.turns + 1
    one.turn = inner.turns
    put(ready_of(c, inner), one.virtual, member_of(one))
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
    take_out(ready_of(c, one.parent), member_of(one))
    one.list = 0
    one = one.parent
  end
end
`;
