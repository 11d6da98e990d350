// The flows of one group's schedule, in Lua: the tree of flow-node.ts and fair-class.ts, with a record for each flow.
// The keys, and how topics are entered, picked and settled, are in schedule-lua.ts. Follows GATE_LUA, with own = the
// keys of the group; ARGV[3] = the policy of the group itself.
import { FIRST_GUESS, RESTING_FLOWS_MAX } from '../../group/fair-class.ts';
import { GATE_LUA } from './gate-lua.ts';
import { PAUSED_LUA } from './pause-script.ts';

/** What opens is offered to the next group that waits for it this much later than to the one before. */
const OFFER_MS = 50;

export const FLOW_LUA = `${GATE_LUA}${PAUSED_LUA}
local order = {'high', 'normal', 'low'}
local items, holdings, deadlines, cursors = own .. ':i', own .. ':h', own .. ':d', own .. ':c'
local parked, first_deadlines = own .. ':p', part .. ':d'
local saved = redis.call('HMGET', own .. ':s', 'seq', 'high', 'normal', 'low', 'ms')
-- Moving mean of how long a topic is held; nil before any was.
local mean_ms = tonumber(saved[5] or nil)
local seq = tonumber(saved[1] or 0)

local function numbers(text)
  local found = {}
  for one in string.gmatch(text, '%S+') do found[#found + 1] = tonumber(one) end
  return found
end

-- A policy is '<weight>' or '<weight>,<limits>' (gate-lua.ts).
local function limits_of(policy)
  return string.match(policy, ',(.*)$')
end

local classes = {}
for i, name in ipairs(order) do
  local n = numbers(saved[i + 1] or '0 0 0 0 ${FIRST_GUESS} 0 0 0 0')
  local root = {id = '', held = 0, size = n[4], guess = n[5], served = n[6], turns = n[7], open = n[8], list = n[9], limits = limits_of(ARGV[3])}
  classes[name] = {name = name, since = n[1], passed = n[2], resting = n[3], root = root, nodes = {}, flows = own .. ':f:' .. name}
end

-- Returns the function that gives a flow's key of this kind. The flow keeps the name: a script reads it many times.
local function keys_of(kind)
  local field = 'key_' .. kind
  return function(c, inner)
    local key = inner[field]
    if not key then
      key = own .. ':' .. kind .. ':' .. c.name .. ':' .. inner.id
      inner[field] = key
    end
    return key
  end
end

local ready_of, resting_of = keys_of('w'), keys_of('r')

local function member_of(s)
  return string.format('%016d', s.turn) .. s.id
end

-- From the widest part to the flow itself.
local function ids_of(id)
  local ids, at = {}, string.find(id, '/', 1, true)
  while at and at < #id do
    ids[#ids + 1] = string.sub(id, 1, at)
    at = string.find(id, '/', at + 1, true)
  end
  ids[#ids + 1] = id
  return ids
end

local function record_of(id, packed)
  local virtual, turn, least, size, held, guess, weight, list, served, turns, open, readies, rests, topic, at, limits = cmsgpack.unpack(packed)
  return {id = id, virtual = virtual, turn = turn, least = least, size = size, held = held, guess = guess, weight = weight, list = list, served = served, turns = turns,
    open = open, readies = readies, rests = rests, topic = topic, at = at, limits = limits ~= '' and limits or nil}
end

local function pack_record(s)
  return cmsgpack.pack(s.virtual, s.turn, s.least, s.size, s.held, s.guess, s.weight, s.list, s.served, s.turns, s.open, s.readies, s.rests, s.topic, s.at, s.limits or '')
end

-- A flow by its id, with the flows around it as parent. Those that have no record get one.
local function flow_of(c, id, policies)
  local ids, unread, node = ids_of(id), {}, c.root
  for _, id in ipairs(ids) do
    if not c.nodes[id] then unread[#unread + 1] = id end
  end
  if #unread > 0 then
    fetch(c.flows, unread)
    for _, id in ipairs(unread) do
      local text = hget(c.flows, id)
      if text then c.nodes[id] = record_of(id, text) end
    end
  end
  local policy = policies and string.gmatch(policies, '%S+')
  for _, id in ipairs(ids) do
    local s = c.nodes[id]
    if not s then
      s = {id = id, virtual = 0, turn = 0, least = 0, size = 0, held = 0, guess = node.guess, weight = 1, list = 0, served = 0, turns = 0, open = 0,
        readies = 0, rests = 0, topic = '', at = 0}
      c.nodes[id] = s
    end
    local now_has = policy and policy()
    if now_has then
      s.weight, s.limits, s.gate = tonumber(string.match(now_has, '^[^,]+')), limits_of(now_has), nil
    end
    s.parent = node
    node = s
  end
  return node
end

local function leaf_of(c, flow, policies)
  return flow_of(c, flow .. ' ', policies)
end

-- The flow around all does not count its ready and resting flows.
local function count(inner, what, more)
  if inner.parent then inner[what] = inner[what] + more end
end

local function first_ready(c, inner)
  if inner.readies == 0 then return nil, math.huge end
  return first_of(ready_of(c, inner))
end

local function has_ready(c, inner)
  if inner.readies then return inner.readies > 0 end
  return first_of(ready_of(c, inner)) ~= nil
end

local function forget(c, id)
  hset(c.flows, id, false)
  c.nodes[id] = nil
end

local function drop_first(c, inner, member)
  take_out(resting_of(c, inner), member)
  forget(c, string.sub(member, 17))
  c.resting = c.resting - 1
  count(inner, 'rests', -1)
end

local function drop_rested(c, inner)
  while c.resting > 0 and inner.rests ~= 0 do
    local member, virtual = first_of(resting_of(c, inner))
    if not member then return end
    local _, least = first_ready(c, inner)
    if virtual > math.min(least, inner.served) then return end
    drop_first(c, inner, member)
  end
end

-- Drops the flows inside an inner flow with nothing waiting and nothing held: all of them rest.
local function clear(c, inner)
  if string.sub(inner.id, -1) ~= '/' or inner.rests == 0 then return end
  local members = take_out_all(resting_of(c, inner))
  c.resting = c.resting - #members
  inner.rests = 0
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
  count(inner, 'rests', 1)
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
    if not has_ready(c, inner) then inner.served = math.max(inner.served, one.virtual) end
    drop_rested(c, inner)
    one = inner
  end
end

-- Counts topics that a flow has to serve, in the flows around it too, up to one that is parked.
local function add_open(one, count)
  while one do
    one.open = one.open + count
    if one.list == 3 then return end
    one = one.parent
  end
end

-- The flow becomes ready, and so does each flow around it that was not, up to one that is parked.
local function enter_flow(c, flow)
  local one = flow
  while one.parent and one.list ~= 3 do
    local inner = one.parent
    local first, virtual = first_ready(c, inner)
    if one.list == 2 then
      take_out(resting_of(c, inner), member_of(one))
      c.resting = c.resting - 1
      count(inner, 'rests', -1)
    end
    one.list = 1
    count(inner, 'readies', 1)
    one.least = math.min(virtual, inner.served)
    one.virtual = math.max(one.virtual, one.least)
    inner.turns = inner.turns + 1
    one.turn = inner.turns
    put(ready_of(c, inner), one.virtual, member_of(one))
    if first then return end
    one = inner
  end
end

local function parked_member(name, id)
  return name .. ' ' .. id
end

-- The flow has nothing to serve, nor has each flow around it that had only this one.
local function leave_flow(c, flow)
  local one = flow
  while one.parent and one.list ~= 3 do
    take_out(ready_of(c, one.parent), member_of(one))
    one.list = 0
    count(one.parent, 'readies', -1)
    if has_ready(c, one.parent) then return end
    one = one.parent
  end
  if one.list == 3 then
    redis.call('ZREM', parked, parked_member(c.name, one.id))
    one.list = 0
  end
end

-- A topic of the flow waits no longer.
local function unqueue(c, leaf)
  local one = leaf
  while one do
    one.size = one.size - 1
    one = one.parent
  end
  add_open(leaf, -1)
  if leaf.size == 0 then leave_flow(c, leaf) end
end

-- By group: ms until it can look at flows that have waited for a gate. Its nodes are notified at the end of the script.
local told = {}

local function tell(name, at)
  told[name] = math.min(told[name] or math.huge, math.max(0, at - tick))
end

local function leave_out(c, one)
  leave_flow(c, one)
  one.list = 3
  add_open(one.parent, -one.open)
end

-- The flow is left out of the order until it is resumed.
local function hold(c, one)
  leave_out(c, one)
  redis.call('ZADD', parked, 'inf', parked_member(c.name, one.id))
  redis.call('SADD', part .. ':zw', group)
end

-- The gate is closed: the flow is left out of the order until it opens.
local function park(c, one, g)
  leave_out(c, one)
  local at, first = opens_at(g), redis.call('ZRANGE', parked, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', parked, exact(at), parked_member(c.name, one.id))
  redis.call('ZADD', part .. ':lw:' .. g.key, 'NX', exact(tick), group)
  -- Other nodes must know when, in case this one has no free worker then.
  if at < math.huge and at < tonumber(first or 'inf') then tell(group, at) end
end

-- The flows of one group that may wait for a gate: those of its path.
local function waiting_at(g)
  local path, members = string.sub(g.key, #g.pool + 2), {}
  for _, name in ipairs(order) do
    for _, id in ipairs({path .. '/', path .. ' ', path == '' and path or nil}) do members[#members + 1] = parked_member(name, id) end
  end
  return members
end

-- By key: gates whose flows this script has let into the order again, and gates that have counted less.
local let_in, freed = {}, {}

local function unpark(member)
  local name, id = string.match(member, '^(%S+) (.*)$')
  local c = classes[name]
  local one = id == '' and c.root or flow_of(c, id)
  redis.call('ZREM', parked, member)
  one.list = 0
  add_open(one.parent, one.open)
  if one.parent then enter_flow(c, one) end
  return gate_of(one)
end

-- The flows of this group that wait for the gate are in the order again.
local function open_here(g)
  for _, member in ipairs(waiting_at(g)) do
    if redis.call('ZSCORE', parked, member) then unpark(member) end
  end
  redis.call('ZREM', part .. ':lw:' .. g.key, group)
  let_in[g.key] = g
end

-- The time has come for which flows of this group were left out.
local function unpark_due()
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', parked, '-inf', tick)) do
    local g = redis.call('ZSCORE', parked, member) and unpark(member)
    if g then open_here(g) end
  end
end

-- The groups that wait for the gate may look at their flows, one after the other.
local function offer(g)
  local queue, at = part .. ':lw:' .. g.key, opens_at(g)
  if at == math.huge then return end
  at = math.max(at, tick)
  for _, name in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    local theirs, waits, sooner = part .. ':g:' .. name .. ':p', false, false
    for _, member in ipairs(waiting_at(g)) do
      local score = tonumber(redis.call('ZSCORE', theirs, member) or nil)
      waits = waits or score ~= nil
      if score and score > at then
        redis.call('ZADD', theirs, exact(at), member)
        sooner = true
      end
    end
    if not waits then redis.call('ZREM', queue, name) end
    if sooner then
      tell(name, at)
      redis.call('ZADD', queue, exact(tick), name)
      at = at + ${OFFER_MS}
    end
  end
end

-- The gate has counted less than before: a flow of this group that has waited longest for it may be served in this
-- script. Others are notified when it ends.
local function free(g)
  freed[g.key] = g
  if opens_at(g) <= tick and redis.call('ZRANGE', part .. ':lw:' .. g.key, 0, 0)[1] == group then open_here(g) end
end

local function notify()
  for key, g in pairs(let_in) do
    if opens_at(g) <= tick then tell(group, tick) end
  end
  for _, g in pairs(freed) do offer(g) end
  for name, ms in pairs(told) do redis.call('SPUBLISH', part .. ':w', string.format('gate %s %.0f', name, math.ceil(ms))) end
end

-- Ms until a flow of this group that was left out is to be looked at, or -1.
local function parked_ms()
  local at = tonumber(redis.call('ZRANGE', parked, 0, 0, 'WITHSCORES')[2] or 'inf')
  return at == math.huge and -1 or math.max(0, math.ceil(at - tick))
end
`;
