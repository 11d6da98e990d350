// The limits of flows, in Lua: the rules of flow-gate.ts and flow-gates.ts, for all groups and nodes, because the
// schedules of all groups are in one slot. Which flows wait for a gate is in flow-lua.ts. Follows PARTITION_LUA, with
// part = G and ARGV[2] = the group.
//
//   G:l          hash: gate → '<held> <deliveries: full at> <tokens: full at>'
//   G:lf         zset: gates that hold nothing, score = when their buckets are full, and the gate can be forgotten
//   G:lw:<gate>  zset: groups with a flow that waits for the gate, the one that has waited longest first
//   G:lt         '<the latest time> <what is added to the server's clock>': the time of gates never goes back
//
// A gate is '=<pool> <flow>', shared by the groups that give the flow this pool, or '@<group> <flow>'. The limits of a
// flow are one word, '<concurrent>,<deliveries per second>,<burst>,<tokens per second>,<burst>,<gate up to the space>',
// with nothing between the commas where there is no limit.
import { DEBT_MS_MAX } from '../../group/flow-gate.ts';
import { RESTING_GATES_MAX } from '../../group/flow-gates.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { CHANGES_LUA } from './changes-lua.ts';

/** Gates that one script forgets because their buckets are full. The next script forgets more. */
const FORGOTTEN_MAX = 20;

export const GATE_LUA = `${PARTITION_LUA}${CHANGES_LUA}
local group = ARGV[2]
local own = part .. ':g:' .. group
local counted, full = part .. ':l', part .. ':lf'

local latest, ahead = string.match(redis.call('GET', part .. ':lt') or '0 0', '^(%S+) (%S+)$')
ahead = math.max(tonumber(ahead), tonumber(latest) - now)
local tick = now + ahead

-- By key: the gates that this script has read.
local gates = {}

local function gate_at(pool, id)
  local key = pool .. ' ' .. string.sub(id, 1, -2)
  local g = gates[key]
  if not g then
    local held, deliveries, tokens = string.match(redis.call('HGET', counted, key) or '0 0 0', '^(%S+) (%S+) (%S+)$')
    g = {key = key, pool = pool, held = tonumber(held), cap = math.huge}
    g.deliveries = {full = tonumber(deliveries)}
    g.tokens = {full = tonumber(tokens)}
    gates[key] = g
  end
  return g
end

-- The gate of a flow, or nil where it has no limit.
local function gate_of(s)
  if not s.limits or s.gate then return s.gate end
  local cap, per_second, burst, tokens_per_second, tokens_burst, pool = string.match(s.limits, '^([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),(.*)$')
  local g = gate_at(pool == '@' and pool .. group or pool, s.id)
  g.cap = tonumber(cap) or math.huge
  g.deliveries.rate, g.deliveries.burst = (tonumber(per_second) or 0) / 1000, tonumber(burst)
  g.tokens.rate, g.tokens.burst = (tonumber(tokens_per_second) or 0) / 1000, tonumber(tokens_burst)
  s.gate = g
  return g
end

-- When its buckets have one unit again.
local function filled_at(g)
  local at = -math.huge
  for _, bucket in ipairs({g.deliveries, g.tokens}) do
    if bucket.burst then at = math.max(at, bucket.full - (bucket.burst - 1) / bucket.rate) end
  end
  return at
end

-- Not after tick: it is open. math.huge: it opens when a delivery is settled.
local function opens_at(g)
  return g.held >= g.cap and math.huge or filled_at(g)
end

local function correct(bucket, units)
  if bucket.burst then bucket.full = math.min(tick + bucket.burst / bucket.rate + ${DEBT_MS_MAX}, bucket.full + units / bucket.rate) end
end

local function take_gate(g, guess)
  g.held = g.held + 1
  g.deliveries.full = math.max(g.deliveries.full, tick)
  g.tokens.full = math.max(g.tokens.full, tick)
  correct(g.deliveries, 1)
  correct(g.tokens, guess)
  g.isChanged = true
end

-- A delivery under way costs so many tokens more than was guessed.
local function charge_gate(g, tokens)
  correct(g.tokens, tokens)
  g.isChanged = true
end

-- A delivery ends that cost so many tokens more than was guessed.
local function settle_gate(g, tokens, how)
  g.held = math.max(0, g.held - 1)
  if how == 'unused' then correct(g.deliveries, -1) end
  correct(g.tokens, tokens)
  g.isChanged = true
end

local function forget_gate(key)
  redis.call('HDEL', counted, key)
  redis.call('ZREM', full, key)
end

local function save_gates()
  for key, g in pairs(gates) do
    local rests_at = math.max(g.deliveries.full, g.tokens.full)
    if g.isChanged and g.held == 0 and rests_at <= tick then forget_gate(key)
    elseif g.isChanged then
      redis.call('HSET', counted, key, exact(g.held) .. ' ' .. exact(g.deliveries.full) .. ' ' .. exact(g.tokens.full))
      if g.held > 0 then redis.call('ZREM', full, key) else redis.call('ZADD', full, exact(rests_at), key) end
    end
  end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', full, '-inf', tick, 'LIMIT', 0, ${FORGOTTEN_MAX})) do forget_gate(key) end
  if redis.call('ZCARD', full) > ${RESTING_GATES_MAX} then forget_gate(redis.call('ZRANGE', full, 0, 0)[1]) end
  if next(gates) then redis.call('SET', part .. ':lt', exact(tick) .. ' ' .. exact(ahead)) end
end
`;
