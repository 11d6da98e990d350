// The scripts that read what an account holds in a partition, and that count it again (account-lua.ts).
import { redisScript } from '../connection/redis-commands.ts';
import { ACCOUNT_LUA } from '../commands/account-lua.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { ACCOUNT_KEYS, META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';

const COUNT_LUA = `${PARTITION_LUA}${ACCOUNT_LUA}
local accounts = hl_accounts()
local function hl_held(name)
  local key = part .. '${TOPIC_KEYS.meta}' .. name
  local v = redis.call('HMGET', key, '${META.counted}', '${META.majorBytes}', '${META.minorBytes}', '${META.epoch}', '${META.ended}')
  return key, v[1], (v[2] or 0) + (v[3] or 0), v[4] and not v[5]
end

local function hl_settle_topic(name, key, counted, bytes)
  redis.call('HSET', key, '${META.counted}', (accounts.settle(name, counted, bytes)))
end
`;

/** ARGV  time, account, the version of the figures that the home has. Returns topics, bytes, version, and the tickets
 *  in them that the home may not have removed yet. */
export const COUNT = redisScript(
  'count-account',
  `${COUNT_LUA}
local account, applied = ARGV[2], part .. '${ACCOUNT_KEYS.applied}' .. ARGV[2]
local unsettled = part .. '${ACCOUNT_KEYS.unsettled}' .. account
for _, name in ipairs(redis.call('SMEMBERS', unsettled)) do
  local key, counted, bytes, is_alive = hl_held(name)
  if counted and is_alive then hl_settle_topic(name, key, counted, bytes) end
  redis.call('SREM', unsettled, name)
end
redis.call('ZREMRANGEBYSCORE', applied, '-inf', ARGV[3])
local topics, bytes, version = accounts.figures(account)
-- The home has a later version if the partition went back in time, or if there are no figures.
if version == 0 or version < tonumber(ARGV[3]) then
  version = accounts.next_version(tonumber(ARGV[3]))
  accounts.set(account, topics, bytes, version)
end
return {string.format('%.0f', topics), string.format('%.0f', bytes), string.format('%.0f', version), table.concat(redis.call('ZRANGE', applied, 0, -1), ' ')}
`,
  { allowsFull: true },
);

/** ARGV  time, topic. Returns its besideBytes, as far as they count. */
export const BESIDE = redisScript(
  'beside-topic',
  `${COUNT_LUA}
local _, counted = hl_held(ARGV[2])
local beside = 0
if counted then _, beside = accounts.counted(counted) end
return string.format('%.0f', beside)
`,
);

/**
 * One slice of a recount, which replaces the figures of the partition by what its topics say. Writes between two slices
 * count in both. Before the slice, topics without an account get theirs.
 *   ARGV  time, the most topics of a slice, ms from the end of a recount to the next one ('-': only if there was none),
 *         then topic, account, …
 *   → {'1' if a recount is under way, topics that have no account, …}
 */
export const RECOUNT = redisScript(
  'recount-accounts',
  `${COUNT_LUA}
local figures, state, topics_key, bytes_key = part .. '${ACCOUNT_KEYS.figures}', part .. '${ACCOUNT_KEYS.recount}', part .. '${ACCOUNT_KEYS.recountTopics}', part .. '${ACCOUNT_KEYS.recountBytes}'
for i = 4, #ARGV, 2 do
  local key, counted, bytes, is_alive = hl_held(ARGV[i])
  if is_alive and not counted then
    redis.call('HSET', key, '${META.counted}', string.format('%.0f 0 %s', bytes, ARGV[i + 1]))
    accounts.add(ARGV[i + 1], ARGV[i], 1, bytes)
  end
end

local after = redis.call('HGET', figures, '>')
if not after then
  local ended = tonumber(redis.call('GET', state))
  if ended and (ARGV[3] == '-' or now < ended + ARGV[3] and now >= ended) then return {'0'} end
  after = ''
  redis.call('DEL', topics_key, bytes_key)
end

local others, sums = {'1'}, {}
local names = redis.call('ZRANGEBYLEX', part .. '${PARTITION_KEYS.names}', after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  local key, counted, bytes, is_alive = hl_held(name)
  if counted and is_alive then
    local _, beside, account = accounts.counted(counted)
    if string.byte(counted) == 43 or accounts.counted(counted) ~= bytes + beside then hl_settle_topic(name, key, counted, bytes) end
    local sum = sums[account] or {0, 0}
    sums[account] = {sum[1] + 1, sum[2] + bytes + beside}
  elseif is_alive then
    others[#others + 1] = name
  end
end
for account, sum in pairs(sums) do
  redis.call('HINCRBY', topics_key, account, sum[1])
  redis.call('HINCRBY', bytes_key, account, sum[2])
end
if #names == tonumber(ARGV[2]) then
  redis.call('HSET', figures, '>', names[#names])
  return others
end

local found = {}
local counts = redis.call('HGETALL', topics_key)
for i = 1, #counts, 2 do found[counts[i]] = {tonumber(counts[i + 1]), tonumber(redis.call('HGET', bytes_key, counts[i]) or 0)} end
redis.call('HDEL', figures, '>')
for _, account in ipairs(redis.call('HKEYS', figures)) do found[account] = found[account] or {0, 0} end
for account, held in pairs(found) do
  local topics, bytes, version = accounts.figures(account)
  if topics ~= held[1] or bytes ~= held[2] then accounts.set(account, held[1], held[2], accounts.next_version(version)) end
end
redis.call('DEL', topics_key, bytes_key)
redis.call('SET', state, string.format('%.0f', now))
others[1] = '0'
return others
`,
  { needsRoom: true },
);
