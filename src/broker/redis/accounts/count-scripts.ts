// The scripts that read what an account holds in a partition, and that count it again (account-lua.ts).
import { redisScript } from '../connection/redis-commands.ts';
import { ACCOUNT_LUA } from '../commands/account-lua.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { ACCOUNT_KEYS, META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';

const COUNT_LUA = `${PARTITION_LUA}${ACCOUNT_LUA}
local function hl_held(name)
  local key = part .. '${TOPIC_KEYS.meta}' .. name
  local v = redis.call('HMGET', key, '${META.counted}', '${META.majorBytes}', '${META.minorBytes}', '${META.epoch}', '${META.ended}')
  return key, v[1], (v[2] or 0) + (v[3] or 0), v[4] and not v[5]
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
  if counted and is_alive then hl_settle(key, name, counted, bytes) end
  redis.call('SREM', unsettled, name)
end
redis.call('ZREMRANGEBYSCORE', applied, '-inf', ARGV[3])
local topics, bytes, version = hl_account(account)
if version == 0 then version = hl_next_version(0) end
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
if counted then _, beside = hl_counted(counted) end
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
local state, topics_key, bytes_key = part .. '${ACCOUNT_KEYS.recount}', part .. '${ACCOUNT_KEYS.recountTopics}', part .. '${ACCOUNT_KEYS.recountBytes}'
for i = 4, #ARGV, 2 do
  local key, counted, bytes, is_alive = hl_held(ARGV[i])
  if is_alive and not counted then
    redis.call('HSET', key, '${META.counted}', string.format('%.0f 0 %s', bytes, ARGV[i + 1]))
    hl_account_add(ARGV[i + 1], ARGV[i], 1, bytes)
  end
end

local v = redis.call('HMGET', state, 'after', 'ended')
local after, ended = v[1], tonumber(v[2])
if not after then
  if ended and (ARGV[3] == '-' or now < ended + ARGV[3] and now >= ended) then return {'0'} end
  after = ''
  redis.call('DEL', topics_key, bytes_key)
end

local others = {'1'}
local names = redis.call('ZRANGEBYLEX', part .. '${PARTITION_KEYS.names}', after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  local key, counted, bytes, is_alive = hl_held(name)
  if counted and is_alive then
    local _, beside, account = hl_counted(counted)
    if string.byte(counted) == 43 or hl_counted(counted) ~= bytes + beside then hl_settle(key, name, counted, bytes) end
    redis.call('HINCRBY', topics_key, account, 1)
    redis.call('HINCRBY', bytes_key, account, bytes + beside)
  elseif is_alive then
    others[#others + 1] = name
  end
end
if #names == tonumber(ARGV[2]) then
  redis.call('HSET', state, 'after', names[#names])
  return others
end

local found = {}
local counts = redis.call('HGETALL', topics_key)
for i = 1, #counts, 2 do found[counts[i]] = {tonumber(counts[i + 1]), tonumber(redis.call('HGET', bytes_key, counts[i]) or 0)} end
local known = redis.call('HKEYS', part .. '${ACCOUNT_KEYS.figures}')
for _, account in ipairs(known) do found[account] = found[account] or {0, 0} end
for account, held in pairs(found) do
  local topics, bytes, version = hl_account(account)
  if topics ~= held[1] or bytes ~= held[2] then hl_account_set(account, held[1], held[2], hl_next_version(version)) end
end
redis.call('DEL', topics_key, bytes_key)
redis.call('HDEL', state, 'after')
redis.call('HSET', state, 'ended', string.format('%.0f', now))
others[1] = '0'
return others
`,
  { needsRoom: true },
);
