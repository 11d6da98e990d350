// The scripts of a group's schedule (schedule-lua.ts). KEYS[1] = G, ARGV[1] = the time (partition-lua.ts),
// ARGV[2] = the group, ARGV[3] = its policy (flow-lua.ts), ARGV[4] and ARGV[5] = its names (pause-script.ts).
import { FLOWS_COUNTED_MAX } from '../../group/fair-class.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { redisScript } from '../connection/redis-commands.ts';
import { SCHEDULE_LUA } from './schedule-lua.ts';

/** The most flows that one call of PLACES samples, over all flows around the topics. */
const FLOWS_SAMPLED_MAX = 4096;

/**
 * One step of the schedule: settles tickets, notes leases, enters topics, then picks the next ones.
 *   ARGV[6] how many topics to pick   ARGV[7] '1': return cursors and groups   ARGV[8] ms of the leases that follow
 *   then any number of:
 *     settle <ticket> <'served' or 'unused'> <tokens, or '' for none>
 *     leased <ticket> <ms until the lease ends> <tokens so far, or '' for none>
 *     enter <partition> <cursor from> <cursor to> <n> and n times <topic> <class> <turn> <flow> <policies of its parts>
 *   → {ms until a ticket or a limit is due or -1,
 *      {for each enter: the cursor that holds now, and 1 if nothing was entered, as topics may be before the batch},
 *      {partition, cursor, …}, {topic, ticket, …}, {group with tickets whose time is up, …}}
 * Sending a step again changes nothing twice: a ticket is settled once, and a topic is entered once for each turn. The
 * tickets of picks whose answer was lost run out.
 */
export const STEP = redisScript(
  'schedule-step',
  `${SCHEDULE_LUA}
-- A full server runs a script whose first write deletes. (There is no key of this name.)
redis.call('DEL', part)
local picks, answers, found, overdue, entered, at = {}, {}, {}, {}, {}, 9
local function turns_of(cursor)
  local era, high, normal, low = string.match(cursor, '^(%S+) (%S+) (%S+) (%S+)$')
  return era, {high or '0', normal or '0', low or '0'}
end
-- The cursor after a drain, and for each class the turn behind which its topics are new: another node may have entered
-- the first of them. Nil if topics may lie between the cursor and the drain.
local function join(cursor, from, to)
  if cursor == from then return to, {} end
  local era, held = turns_of(cursor)
  local era_from, begins = turns_of(from)
  local era_to, ends = turns_of(to)
  if era ~= era_to then return nil end
  for i, turn in ipairs(held) do
    if era_from == era and tonumber(begins[i]) > tonumber(turn) then return nil end
    if tonumber(ends[i]) < tonumber(turn) then ends[i] = turn end
  end
  return era .. ' ' .. table.concat(ends, ' '), {high = tonumber(held[1]), normal = tonumber(held[2]), low = tonumber(held[3])}
end
local reports, tickets, topics, flows, partitions = {}, {}, {}, {high = {}, normal = {}, low = {}}, {}
while at <= #ARGV do
  local what = ARGV[at]
  if what == 'enter' then
    partitions[#partitions + 1] = at
    at = at + 5 + 5 * ARGV[at + 4]
  else
    reports[#reports + 1] = at
    tickets[#tickets + 1] = ARGV[at + 1]
    at = at + 4
  end
end
for _, at in ipairs(partitions) do
  local partition = ARGV[at + 1]
  local cursor = hget(cursors, partition) or ''
  local joined, known = join(cursor, ARGV[at + 2], ARGV[at + 3])
  answers[#answers + 1] = joined or cursor
  answers[#answers + 1] = joined and 0 or 1
  if joined then
    hset(cursors, partition, joined)
    for i = at + 5, at + 4 + 5 * ARGV[at + 4], 5 do
      local topic, name, turn, flow = unpack(ARGV, i, i + 3)
      turn = tonumber(turn)
      if turn > (known[name] or -1) then
        entered[#entered + 1] = {topic, name, flow, turn, ARGV[i + 4]}
        topics[#topics + 1] = topic
        flows[name][#flows[name] + 1] = flow
      end
    end
  end
end
prepare(tickets, topics, flows)
unpark_due()
for _, at in ipairs(reports) do
  local report = ARGV[at] == 'settle' and settle or leased
  report(ARGV[at + 1], ARGV[at] == 'settle' and ARGV[at + 2] or tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
end
expire()
table.sort(entered, function(one, other) return one[4] < other[4] end)
for _, one in ipairs(entered) do enter(unpack(one)) end
for _ = 1, tonumber(ARGV[6]) do
  local topic, ticket = pick(tonumber(ARGV[8]))
  if not topic then break end
  picks[#picks + 1] = topic
  picks[#picks + 1] = ticket
end
notify()
local due, parked_due = save(), parked_ms()
if ARGV[7] == '1' then found, overdue = redis.call('HGETALL', cursors), overdue_groups() end
due = due and math.max(0, due - now) or -1
if due < 0 or parked_due >= 0 and parked_due < due then due = parked_due end
return {due, answers, found, picks, overdue}
`,
  { allowsFull: true },
);

/**
 * How many topics wait.
 *   ARGV[2] '' or the first name of the flows to count   ARGV[3…] groups
 *   → for each group: high, normal, low, and 1 if the schedule knows the group
 */
export const WAITING = redisScript(
  'schedule-waiting',
  `${PARTITION_LUA}
local found = {}
for i = 3, #ARGV do
  local own = part .. ':g:' .. ARGV[i]
  for _, name in ipairs({'high', 'normal', 'low'}) do
    local count = 0
    if ARGV[2] == '' then
      count = tonumber(string.match(redis.call('HGET', own .. ':s', name) or '0 0 0 0', '^%S+ %S+ %S+ (%S+)'))
    else
      for _, record in ipairs(redis.call('HMGET', own .. ':f:' .. name, ARGV[2] .. '/', ARGV[2] .. ' ')) do
        if record then count = count + (select(4, cmsgpack.unpack(record))) end
      end
    end
    found[#found + 1] = count
  end
  found[#found + 1] = redis.call('EXISTS', own .. ':c')
end
return found
`,
  { allowsFull: true },
);

/**
 * What the positions of topics are counted from.
 *   ARGV[6…] topics
 *   → {{topics of high, normal, low},
 *      {for each topic: {} or {class, rank in its flow, and from the leaf outwards: flow, flow around it, …}},
 *      {class, flow around, distance, {flow, flow, …}, and so on}
 *        the ready flows of each flow around one of the topics, or every <distance>th of them
 *      {class, flow, virtual, turn, guess, weight, open, limits, held, ms until its buckets allow a delivery or -1 if
 *       it is paused, and so on} for each flow that was named,
 *      deliveries under way, moving mean of the ms that one takes or ''}
 */
export const PLACES = redisScript(
  'schedule-places',
  `${SCHEDULE_LUA}
local places, inners, samples, named, seen = {}, {}, {}, {}, {}
local function name_node(c, s)
  local key = c.name .. ' ' .. s.id
  if seen[key] then return end
  seen[key] = true
  local g = gate_of(s)
  local opens_in = is_paused(s) and -1 or g and math.max(0, filled_at(g) - tick) or 0
  local open = (opens_in ~= 0 or g and g.held >= g.cap) and 0 or s.open
  local values = {c.name, s.id, exact(s.virtual or 0), exact(s.turn or 0), exact(s.guess), exact(s.weight or 1), exact(open), s.limits or '', g and g.held or 0, exact(opens_in)}
  for _, one in ipairs(values) do named[#named + 1] = one end
end
for i = 6, #ARGV do
  local name, flow = string.match(redis.call('HGET', items, ARGV[i]) or '', '^w (%S+) (.*)$')
  local c = classes[name]
  local rank = c and rank_of(c, leaf_of(c, flow), flow, ARGV[i])
  places[i - 5] = {}
  if rank then
    local place, one = {name, rank}, leaf_of(c, flow)
    while one.parent do
      name_node(c, one)
      place[#place + 1] = one.id
      local key = name .. ' around ' .. one.parent.id
      if not seen[key] then
        seen[key] = true
        inners[#inners + 1] = {c, one.parent}
      end
      one = one.parent
    end
    name_node(c, c.root)
    place[#place + 1] = ''
    places[i - 5] = place
  end
end
local limit = math.max(1, math.min(${FLOWS_COUNTED_MAX}, math.floor(${FLOWS_SAMPLED_MAX} / math.max(1, #inners))))
for _, one in ipairs(inners) do
  local c, inner = unpack(one)
  local ready = ready_of(c, inner)
  local count = redis.call('ZCARD', ready)
  local distance = math.max(1, math.ceil(count / limit))
  local members = distance == 1 and redis.call('ZRANGE', ready, 0, -1) or {}
  if distance > 1 then
    for rank = 0, count - 1, distance do members[#members + 1] = redis.call('ZRANGE', ready, rank, rank)[1] end
  end
  local flows = {}
  for i, member in ipairs(members) do flows[i] = string.sub(member, 17) end
  fetch(c.flows, flows)
  for _, id in ipairs(flows) do
    c.nodes[id] = c.nodes[id] or record_of(id, hget(c.flows, id))
    name_node(c, c.nodes[id])
  end
  for _, value in ipairs({c.name, inner.id, distance, flows}) do samples[#samples + 1] = value end
end
local function open_in(c) return c.root.list == 3 and 0 or c.root.open end
return {{open_in(classes.high), open_in(classes.normal), open_in(classes.low)}, places, samples, named, redis.call('HLEN', holdings), mean_ms and exact(mean_ms) or ''}
`,
);
