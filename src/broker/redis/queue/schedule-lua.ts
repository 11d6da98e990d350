// The fair order of one group, in Lua: the rules of broker/group/schedule.ts and fair-class.ts, for all nodes that
// consume in the group. test/broker/redis/queue/schedule.test.ts drives both with the same histories. The tree of flows
// is in flow-lua.ts. part = G, the group's own slot.
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
import { COST_MAX, COST_MIN, MEAN_GAIN } from '../../group/fair-class.ts';
import { PASSED_OVER_MAX } from '../../group/ready-list.ts';
import { AGE_MS } from '../../group/schedule.ts';
import { FLOW_LUA } from './flow-lua.ts';

/** A topic that was picked and is not leased by then waits again. */
export const PICKED_MS = 5000;
/** The schedule takes a leased topic for held this long after the lease: the partition ends the lease first. */
const SETTLE_MS = 5000;
/** Values in one HSET of records of flows: an even number, and less than Lua can unpack. */
const SAVED_MAX = 1000;
/** Tickets that one script ends because their time is up. The next script ends more. */
const DUE_MAX = 100;

export const SCHEDULE_LUA = `${FLOW_LUA}
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
    take_out(ready_of(c, inner), member_of(one))
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
    local records = {}
    for id, s in pairs(c.nodes) do
      records[#records + 1] = id
      records[#records + 1] = text(s.virtual, s.turn, s.least, s.size, s.held, s.guess, s.weight, s.list, s.served, s.turns)
    end
    for i = 1, #records, ${SAVED_MAX} do redis.call('HSET', c.flows, unpack(records, i, math.min(#records, i + ${SAVED_MAX - 1}))) end
  end
  redis.call('HSET', part .. ':s', unpack(fields))
end
`;
