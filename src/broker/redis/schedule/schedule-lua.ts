// The fair order of one group, in Lua: the rules of broker/group/schedule.ts and fair-class.ts, for all nodes that
// consume in the group. test/broker/redis/schedule/schedule.test.ts drives both with the same histories. The tree of
// flows is in flow-lua.ts. part = G, the slot of all schedules; own = 'G:g:<group>', written O below. G:l… are in
// gate-lua.ts.
//
//   O:s                  hash: `seq`, the last ticket; `ms`, how long a topic is held on the average; and for each
//                        class, as in Schedule and FairClass,
//                        '<since> <passed over> <resting> <waiting> <guess> <served> <turns> <open> <list>'
//   O:f:<class>          hash: flow → its record as in FlowRecord and InnerFlow, in MessagePack: virtual, turn, least,
//                        waiting, held, guess, weight, list (1 ready, 2 resting, 3 parked, else 0), served, turns,
//                        open, its ready and its resting flows, a topic that waits or '', that one's turn, limits or ''
//   O:w:<class>:<inner>  zset: the ready flows of an inner flow, score = virtual time,
//                        member = 16 digits of the turn and the flow
//   O:r:<class>:<inner>  zset: its resting flows, likewise
//   O:q:<class>:<flow>   zset: topics that wait beside the one in the record, score = their turn in their partition
//                        An inner flow ends with a slash ('tenant/', 'tenant/user/'), a leaf with a space, and the flow
//                        around all is ''.
//   O:p                  zset: '<class> <flow>' that is parked, score = when to look whether its gate is open
//   O:i                  hash: topic → 'w <class> <flow>' while it waits, 'h <ticket>' while it is picked
//   O:h                  hash: ticket → '<class> <charged> <mark> <turn in the partition> <gates> <topic> <flow>'
//                        mark: p while it is picked, l when it is leased, and when it was picked (ms)
//                        gates: for the leaf and each flow around it, '=<pool>,', '@<group>,', or ',' without a limit
//   O:d                  zset: ticket → until when the schedule takes the topic for held (ms)
//   O:c                  hash: partition → up to where its queue has been entered here (queue-scripts.ts)
//   G:d                  zset: group → the first score of its O:d. Groups share limits, so a node that steps one group
//                        ends the tickets of the others that no node steps, because their last node has died.
//   G:w                  channel: 'gate <group> <ms>', flows of the group may be ready in ms
//
// What waits is decided by the partitions, so the schedule may be wrong about a topic, and every mistake ends:
//  - A picked topic is held until its ticket is settled. A ticket that is not settled in time makes its topic wait
//    again.
//  - A topic that waits here and not in its partition is picked, is not leased, and is settled as unused.
//  - A topic that comes to wait in its partition gets a later turn there than O:c has, so a node enters it.
import { COST_MAX, COST_MIN, MEAN_GAIN } from '../../group/fair-class.ts';
import { PASSED_OVER_MAX } from '../../group/ready-list.ts';
import { AGE_MS } from '../../group/schedule.ts';
import { FLOW_LUA } from './flow-lua.ts';

/** A topic that was picked and is not leased by then waits again, if its flow has no limit. */
export const PICKED_MS = 5000;
/** The schedule takes a leased topic for held this long after the lease: the partition ends the lease first. */
const SETTLE_MS = 5000;
/** Tickets that one script ends because their time is up. The next script ends more. */
const DUE_MAX = 100;
/** Groups that one step names because they have tickets whose time is up. The next step names more. */
const OVERDUE_GROUPS_MAX = 16;

export const SCHEDULE_LUA = `${FLOW_LUA}
local function queue_of(c, flow)
  return own .. ':q:' .. c.name .. ':' .. flow
end

-- Most flows have one topic that waits, so one is in the record of the flow.
local function first_topic(c, leaf, flow)
  if leaf.size == 1 and leaf.topic ~= '' then return leaf.topic, leaf.at end
  local topic, at = first_of(queue_of(c, flow))
  if leaf.topic ~= '' and (leaf.at < at or leaf.at == at and leaf.topic < topic) then return leaf.topic, leaf.at end
  return topic, at
end

local function take_topic(c, leaf, flow, topic)
  if leaf.topic == topic then leaf.topic, leaf.at = '', 0 else take_out(queue_of(c, flow), topic) end
end

-- How many topics of the flow are before this one; nil if it does not wait.
local function rank_of(c, leaf, flow, topic)
  local queue = queue_of(c, flow)
  if leaf.topic == topic then return leaf.size == 1 and 0 or redis.call('ZCOUNT', queue, '-inf', '(' .. exact(leaf.at)) end
  local at, rank = tonumber(redis.call('ZSCORE', queue, topic) or nil), redis.call('ZRANK', queue, topic)
  if at and leaf.topic ~= '' and leaf.at <= at then rank = rank + 1 end
  return at and rank
end

local function add(topic, name, flow, at, policies)
  local c = classes[name]
  if c.root.size == 0 then c.since = now end
  local leaf = leaf_of(c, flow, policies)
  if leaf.size == 0 then leaf.topic, leaf.at = topic, at else put(queue_of(c, flow), at, topic) end
  hset(items, topic, 'w ' .. name .. ' ' .. flow)
  local one = leaf
  while one do
    one.size = one.size + 1
    one = one.parent
  end
  add_open(leaf, 1)
  if leaf.size == 1 then enter_flow(c, leaf) end
end

local function remove(topic, name, flow)
  local c = classes[name]
  hset(items, topic, false)
  local leaf = leaf_of(c, flow)
  if leaf.topic ~= topic and not score_of(queue_of(c, flow), topic) then return end
  take_topic(c, leaf, flow, topic)
  unqueue(c, leaf)
  rest(c, leaf)
end

-- Its class is nil if the ticket is settled.
local function holding(ticket)
  return string.match(hget(holdings, ticket) or '', '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
end

-- Reads what these tickets and topics need together.
local function prepare(tickets, topics, flows)
  fetch(holdings, tickets)
  for _, ticket in ipairs(tickets) do
    local name, _, _, _, _, topic, flow = holding(ticket)
    if name then
      topics[#topics + 1] = topic
      flows[name][#flows[name] + 1] = flow
    end
  end
  fetch(items, topics)
  for name, list in pairs(flows) do
    local unread = {}
    for _, flow in ipairs(list) do
      for _, id in ipairs(ids_of(flow .. ' ')) do unread[#unread + 1] = id end
    end
    fetch(classes[name].flows, unread)
  end
end

local function settle(ticket, how, used)
  local name, guess, mark, at, pools, topic, flow = holding(ticket)
  if not name then return end
  hset(holdings, ticket, false)
  take_out(deadlines, ticket)
  local isHeld = hget(items, topic) == 'h ' .. ticket
  if isHeld then hset(items, topic, false) end
  local c = classes[name]
  local leaf = leaf_of(c, flow)
  local isDue, more = how == 'due', 0
  if isDue then how = string.sub(mark, 1, 1) == 'l' and 'served' or 'unused' end
  if how == 'served' and not isDue then
    local ms = math.max(0, now - tonumber(string.sub(mark, 2)))
    mean_ms = mean_ms and mean_ms + ${MEAN_GAIN} * (ms - mean_ms) or ms
  end
  if how == 'unused' then more = -guess
  elseif used then more = math.max(${COST_MIN}, math.min(${COST_MAX}, used)) - guess end
  charge(c, leaf, more)
  local one, taken = leaf, {}
  for pool in string.gmatch(pools, '([^,]*),') do
    if how == 'served' and used then one.guess = one.guess + ${MEAN_GAIN} * (guess + more - one.guess) end
    one.held = one.held - 1
    gate_of(one)
    if pool ~= '' then
      local g = gate_at(pool, one.id)
      settle_gate(g, more, how)
      taken[#taken + 1] = g
    end
    one = one.parent
  end
  for _, g in ipairs(taken) do free(g) end
  -- The topic waits again, in its old place.
  if isDue and isHeld then add(topic, name, flow, tonumber(at)) end
  rest(c, leaf)
end

-- Ends the tickets whose time is up.
local function expire()
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, ${DUE_MAX})) do
    -- It may have been settled, or leased for longer, in this script.
    if (score_of(deadlines, ticket) or math.huge) <= now then
      settle(ticket, 'due')
      take_out(deadlines, ticket)
    end
  end
end

-- A topic that waits already keeps its position, unless its class is another one. A topic that is held waits again, and
-- its ticket can still be settled.
local function enter(topic, name, flow, at, policies)
  local class, payer = string.match(hget(items, topic) or '', '^w (%S+) (.*)$')
  if class == name and payer == flow then return end
  if class then remove(topic, class, payer) end
  add(topic, name, flow, at, policies)
end

-- The leaf whose first topic is next in a class, or nil. Leaves the flows in front out that have reached a limit.
local function next_leaf(c)
  local one = c.root
  while one.list ~= 3 and (one ~= c.root or has_ready(c, one)) do
    local g = gate_of(one)
    if is_paused(one) then
      hold(c, one)
      one = c.root
    elseif g and opens_at(g) > tick then
      park(c, one, g)
      one = c.root
    elseif string.sub(one.id, -1) == ' ' then return one
    else one = flow_of(c, string.sub(first_ready(c, one), 17)) end
  end
end

-- The class that is next and its leaf. A class that has waited too long is served before the others.
local function next_class()
  local waiting, aged, chosen = {}, nil, nil
  for _, name in ipairs(order) do
    local c = classes[name]
    c.since = math.min(c.since, now)
    c.leaf = next_leaf(c)
    if c.leaf then
      waiting[#waiting + 1] = c
      if now - c.since >= ${AGE_MS} and (not aged or c.since < aged.since) then aged = c end
    end
  end
  if aged then waiting = {aged} end
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

-- A node may have leased a topic and died before it has reported that. If the flow has a limit, the topic counts as
-- held for as long as that lease would be.
local function pick(lease_ms)
  local c = next_class()
  if not c then return nil end
  local leaf = c.leaf
  local flow = string.sub(leaf.id, 1, -2)
  local topic, at = first_topic(c, leaf, flow)
  take_topic(c, leaf, flow, topic)
  c.since = now
  local guess, pools, one, held_ms = leaf.guess, {}, leaf, ${PICKED_MS}
  while one.parent do
    local inner = one.parent
    take_out(ready_of(c, inner), member_of(one))
    inner.served = math.max(inner.served, one.virtual)
    inner.turns = inner.turns + 1
    one.turn = inner.turns
    one.held = one.held + 1
    one = inner
  end
  one = leaf
  while one do
    local g = gate_of(one)
    if g then
      take_gate(g, guess)
      held_ms = math.max(held_ms, lease_ms + ${SETTLE_MS})
    end
    pools[#pools + 1] = (g and g.pool or '') .. ','
    one = one.parent
  end
  unqueue(c, leaf)
  charge(c, leaf, guess)
  seq = seq + 1
  local ticket = exact(seq)
  hset(holdings, ticket, table.concat({c.name, exact(guess), 'p' .. exact(now), exact(at), table.concat(pools), topic, flow}, ' '))
  put(deadlines, now + held_ms, ticket)
  hset(items, topic, 'h ' .. ticket)
  return topic, ticket
end

-- The lease of a picked topic ends in ms. What it has used so far above what was charged is charged.
local function leased(ticket, ms, used)
  local name, charged, mark, at, pools, topic, flow = holding(ticket)
  if not name then return end
  local more = math.min(${COST_MAX}, used or 0) - tonumber(charged)
  if more > 0 then
    local c = classes[name]
    local one = leaf_of(c, flow)
    charge(c, one, more)
    for pool in string.gmatch(pools, '([^,]*),') do
      if gate_of(one) and pool ~= '' then charge_gate(gate_at(pool, one.id), more) end
      one = one.parent
    end
    charged = exact(charged + more)
  end
  hset(holdings, ticket, table.concat({name, charged, 'l' .. string.sub(mark, 2), at, pools, topic, flow}, ' '))
  put(deadlines, now + ms + ${SETTLE_MS}, ticket)
end

-- The groups with tickets whose time is up.
local function overdue_groups()
  return redis.call('ZRANGEBYSCORE', first_deadlines, '-inf', now, 'LIMIT', 0, ${OVERDUE_GROUPS_MAX})
end

-- Returns the first deadline of the group, or nil.
local function save()
  local fields = {'seq', exact(seq)}
  if mean_ms then fields = {'seq', exact(seq), 'ms', exact(mean_ms)} end
  local function text(...)
    local parts = {...}
    for i, one in ipairs(parts) do parts[i] = exact(one) end
    return table.concat(parts, ' ')
  end
  for _, name in ipairs(order) do
    local c = classes[name]
    fields[#fields + 1] = name
    fields[#fields + 1] = text(c.since, c.passed, c.resting, c.root.size, c.root.guess, c.root.served, c.root.turns, c.root.open, c.root.list)
    for id, s in pairs(c.nodes) do hset(c.flows, id, pack_record(s)) end
  end
  redis.call('HSET', own .. ':s', unpack(fields))
  save_gates()
  local ticket, due = first_of(deadlines)
  if ticket then redis.call('ZADD', first_deadlines, due, group) else redis.call('ZREM', first_deadlines, group) end
  write_changes()
  return ticket and due
end
`;
