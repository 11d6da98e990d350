// The scripts of an account's home: what the account holds over all partitions, as far as they have reported it, and
// the tickets of writes under way. The home decides about quotas. It may be lost: the partitions have the truth (ADR
// 19). Only accounts that name quotas have a home; it is in one partition (RedisKeys.homeOf).
//
//   P:ah:<account>   hash: `p<n>`, the last report of partition n ('<topics> <bytes> <version>'); `n` and `b`, the sums
//                    of the reports; `rn` and `rb`, the sums of the tickets; `f`, when all partitions were read last
//                    (ms); `m`, `at`, `rate`: the bucket of creations, as Account in accounts.ts
//   P:ak:<account>   zset: tickets, '<ms until which it may be used>:<topics>:<bytes>:<nonce>', score = when the home
//                    forgets it (ms)
//
// A ticket counts from before its write until a report contains the write. So what an account holds by writes that name
// a quota is never more than the reports and the tickets say.
import { redisScript } from '../connection/redis-commands.ts';
import { TICKET_MS, TICKET_SLACK_MS } from '../commands/account-lua.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import { ACCOUNT_KEYS } from '../keys.ts';

/** A write that adds bytes needs figures of at most this age, so that records of workers, which name no quota, count
 *  soon. While at least half of the quota is free, they may be older. */
export const FIGURES_AGE_MS = 15_000;
export const FREE_FIGURES_AGE_MS = 600_000;
/** A home that is not used is kept for as long, or until its bucket is full. */
const HOME_MS = 24 * 60 * 60 * 1000;
/** The most tickets that one script forgets. */
const FORGOTTEN_MAX = 100;

const HOME_LUA = `${PARTITION_LUA}
local home, tickets = part .. '${ACCOUNT_KEYS.home}' .. ARGV[2], part .. '${ACCOUNT_KEYS.tickets}' .. ARGV[2]

local function amounts(ticket)
  local topics, bytes = string.match(ticket, '^%d+:(%d+):(%d+):')
  return tonumber(topics), tonumber(bytes)
end

-- Returns the topics of the ticket, or nil if there is no such ticket.
local function forget(ticket)
  if redis.call('ZREM', tickets, ticket) == 0 then return end
  local topics, bytes = amounts(ticket)
  -- Redis does not take -0, which -topics may be.
  redis.call('HINCRBY', home, 'rn', 0 - topics)
  redis.call('HINCRBY', home, 'rb', 0 - bytes)
  return topics
end
`;

/** ARGV  time, account, a ticket that was not used or '-', '1' if the reports are of all partitions and just read, then
 *  for each report: partition, topics, bytes, version, tickets. */
export const REPORT = redisScript(
  'report-account',
  `${HOME_LUA}
if (forget(ARGV[3]) or 0) > 0 then
  local made = tonumber(redis.call('HGET', home, 'm') or 0)
  redis.call('HSET', home, 'm', string.format('%.17g', math.max(0, made - 1)))
end
for i = 5, #ARGV, 5 do
  local field = 'p' .. ARGV[i]
  local topics, bytes, version = string.match(redis.call('HGET', home, field) or '0 0 0', '^(%S+) (%S+) (%S+)$')
  if tonumber(ARGV[i + 3]) > tonumber(version) then
    redis.call('HSET', home, field, ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' ' .. ARGV[i + 3])
    redis.call('HINCRBY', home, 'n', ARGV[i + 1] - topics)
    redis.call('HINCRBY', home, 'b', ARGV[i + 2] - bytes)
    for ticket in string.gmatch(ARGV[i + 4], '%S+') do forget(ticket) end
  end
end
if ARGV[4] == '1' then redis.call('HSET', home, 'f', string.format('%.0f', now)) end
if redis.call('PTTL', home) < 0 then redis.call('PEXPIRE', home, ${HOME_MS}) end
return 1
`,
  { allowsFull: true },
);

/**
 * Reserves what a write adds.
 *   ARGV  time, account, partition of the write, topics, bytes, nonce, the quota: topics, bytes, creations per second,
 *         burst ('-': no limit), the number of partitions, '1' if the reports of all partitions have just been read
 *   → {'granted', ticket, version of that partition's report} | {'read', versions of all reports}: read all partitions
 *     and try again | {'refused', quota, limit, used, ms until it allows the write or '-'}
 * A quota of creations refuses at once. Another quota refuses only by figures that have just been read.
 */
export const RESERVE = redisScript(
  'reserve-in-account',
  `${HOME_LUA}
local topics, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local topics_max, bytes_max, rate, burst = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local is_read = ARGV[12] == '1'

local function must_read()
  local versions = {}
  for p = 0, tonumber(ARGV[11]) - 1 do
    versions[p + 1] = string.match(redis.call('HGET', home, 'p' .. p) or '0 0 0', '%S+$')
  end
  return {'read', table.concat(versions, ' ')}
end

local function refused(quota, limit, used, retry)
  return {'refused', quota, string.format('%.17g', limit), string.format('%.0f', used), retry and string.format('%.0f', retry) or '-'}
end

for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', tickets, '-inf', now, 'LIMIT', 0, ${FORGOTTEN_MAX})) do forget(ticket) end

local v = redis.call('HMGET', home, 'n', 'b', 'rn', 'rb', 'f', 'm', 'at', 'rate')
if not v[5] and (topics > 0 and topics_max or bytes > 0 and bytes_max) then return must_read() end
local used_topics, used_bytes = (v[1] or 0) + (v[3] or 0), (v[2] or 0) + (v[4] or 0)
local made, made_at, made_rate = tonumber(v[6] or 0), tonumber(v[7] or 0), tonumber(v[8] or 0)

if topics > 0 and topics_max and used_topics >= topics_max then
  if not is_read then return must_read() end
  return refused('topics', topics_max, used_topics)
end
if topics > 0 and rate then
  -- As Account in accounts.ts: a clock that is set back, and another rate.
  if made_at > now then made_at = now end
  made = math.max(0, made - (now - made_at) * made_rate / 1000)
  if made_rate ~= rate then
    if made_rate == 0 then made = 0 end
    made_rate = rate
  end
  if made + 1 > burst then return refused('creations', burst, math.ceil(made), math.ceil((made + 1 - burst) / rate * 1000)) end
  made, made_at = made + 1, now
end
if bytes > 0 and bytes_max then
  local age = now - v[5]
  local may_be = used_bytes * 2 <= bytes_max and ${FREE_FIGURES_AGE_MS} or ${FIGURES_AGE_MS}
  local is_over = used_bytes + bytes > bytes_max
  if not is_read and (is_over or age < 0 or age > may_be) then return must_read() end
  if is_over then return refused('bytes', bytes_max, used_bytes) end
end

local ticket = string.format('%.0f:%.0f:%.0f:%s', now + ${TICKET_MS}, topics, bytes, ARGV[6])
redis.call('ZADD', tickets, now + ${TICKET_MS + TICKET_SLACK_MS}, ticket)
redis.call('HINCRBY', home, 'rn', topics)
redis.call('HINCRBY', home, 'rb', bytes)
if topics > 0 and rate then
  redis.call('HSET', home, 'm', string.format('%.17g', made), 'at', string.format('%.0f', made_at), 'rate', string.format('%.17g', made_rate))
end
local kept = math.max(${HOME_MS}, rate and math.ceil(burst / rate * 1000) or 0)
redis.call('PEXPIRE', home, kept)
redis.call('PEXPIRE', tickets, kept)
return {'granted', ticket, string.match(redis.call('HGET', home, 'p' .. ARGV[3]) or '0 0 0', '%S+$')}
`,
  { needsRoom: true },
);
