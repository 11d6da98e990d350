// The Lua functions that count what an account holds in this partition. Follows PARTITION_LUA. Every script that writes
// to a topic or ends it counts in the same step, so the figures are as safe as the topics (ADR 19). An append of
// minor records alone leaves the figures as they are and notes the topic once, so that a token costs no further
// command.
//
//   P:ac             hash: account → '<topics> <bytes> <version>'
//   P:au:<account>   set: topics with minor records that are not in the figures yet
//   P:at:<account>   zset: tickets of the home (accounts/home-scripts.ts) that were used here, score = the version in
//                    which they are counted
//   P:ar             hash of the recount: `after`, the name up to which it has come, while one is under way; `ended`,
//                    when the last one ended (ms)
//   P:arn P:arb      hashes: account → topics and bytes that the recount has found
//
// A version is the server's clock in µs, and no version of an account is given twice.
//
// Functions for the rest of the engine:
//   hl_account(account)       returns its topics, bytes and version
//   hl_account_add(account, topic, topics, bytes)  adds to its figures; returns them
//   hl_counted(text)          returns bytes, besideBytes and account of META.counted
//   hl_settle(key, topic, text, bytes, beside)     counts what the topic holds now
//   hl_count_end(t)           when the topic ends
import { ACCOUNT_KEYS, META } from '../keys.ts';

/** A ticket is used within this time, or not at all. */
export const TICKET_MS = 60_000;
/** The clocks of all masters agree within this time. */
export const TICKET_SLACK_MS = 30_000;

export const ACCOUNT_LUA = `
local function hl_account(account)
  local found = redis.call('HGET', part .. '${ACCOUNT_KEYS.figures}', account)
  local topics, bytes, version = string.match(found or '', '^(%-?%d+) (%-?%d+) (%d+)$')
  return tonumber(topics or 0), tonumber(bytes or 0), tonumber(version or 0)
end

local function hl_next_version(version)
  local time = redis.call('TIME')
  return math.max(time[1] * 1000000 + time[2], version + 1)
end

local function hl_account_set(account, topics, bytes, version)
  local key = part .. '${ACCOUNT_KEYS.figures}'
  if topics == 0 and bytes == 0 then redis.call('HDEL', key, account)
  else redis.call('HSET', key, account, string.format('%.0f %.0f %.0f', topics, bytes, version)) end
end

-- Whether the first name is not behind the second one in the order of P:names, which is that of the bytes. The order of
-- Lua depends on the server's locale.
local function hl_in_order(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one <= #other
end

local function hl_account_add(account, topic, topics, bytes)
  local all_topics, all_bytes, version = hl_account(account)
  all_topics, all_bytes, version = all_topics + topics, all_bytes + bytes, hl_next_version(version)
  hl_account_set(account, all_topics, all_bytes, version)
  local after = redis.call('HGET', part .. '${ACCOUNT_KEYS.recount}', 'after')
  if after and hl_in_order(topic, after) then
    redis.call('HINCRBY', part .. '${ACCOUNT_KEYS.recountTopics}', account, topics)
    redis.call('HINCRBY', part .. '${ACCOUNT_KEYS.recountBytes}', account, bytes)
  end
  return all_topics, all_bytes, version
end

local function hl_counted(text)
  local bytes, beside, account = string.match(text, '^%+?(%d+) (%d+) (.+)$')
  return tonumber(bytes), tonumber(beside), account
end

-- Returns the account's figures.
local function hl_settle(key, topic, text, bytes, new_beside)
  local counted, beside, account = hl_counted(text)
  beside = new_beside or beside
  bytes = bytes + beside
  if string.byte(text) == 43 then redis.call('SREM', part .. '${ACCOUNT_KEYS.unsettled}' .. account, topic) end
  redis.call('HSET', key, '${META.counted}', string.format('%.0f %.0f %s', bytes, beside, account))
  return hl_account_add(account, topic, 0, bytes - counted)
end

local function hl_count_end(t)
  if not t.counted then return end
  local bytes, _, account = hl_counted(t.counted)
  if string.byte(t.counted) == 43 then redis.call('SREM', part .. '${ACCOUNT_KEYS.unsettled}' .. account, t.name) end
  -- Redis does not take -0, which -bytes may be.
  hl_account_add(account, t.name, -1, 0 - bytes)
end
`;

/** Of the append (append.ts). */
export const CHARGE_LUA = `
-- What a write says for the account of its topic, '<account>,<besideBytes>,<ticket>,<version>' with '~' for an absent
-- value: the account of a topic that the write may make; the home's ticket for its quota, or 'dry' to check the write
-- only; the version of this partition's figures that the home has.
local function read_charge(w, text)
  local account, beside, ticket, known = string.match(text, '^([^,]+),([^,]+),([^,]+),([^,]+)$')
  w.account = account ~= '~' and account or nil
  w.beside = tonumber(beside)
  w.ticket = ticket ~= '~' and ticket or nil
  w.known = known
end

local function is_late(w)
  return w.ticket and w.ticket ~= 'dry' and now > tonumber(string.match(w.ticket, '^%d+'))
end

-- Notes that the figures contain what the ticket was for. Returns what the home must learn of this partition.
local function use_ticket(w, account, topics, bytes, version)
  local key = part .. '${ACCOUNT_KEYS.applied}' .. account
  redis.call('ZREMRANGEBYSCORE', key, '-inf', w.known)
  redis.call('ZADD', key, version, w.ticket)
  redis.call('PEXPIRE', key, ${TICKET_MS + 2 * TICKET_SLACK_MS})
  return {string.format('%.0f', topics), string.format('%.0f', bytes), string.format('%.0f', version), table.concat(redis.call('ZRANGE', key, 0, -1), ' ')}
end

-- Counts a write whose records are in the topic. Returns what use_ticket returns, if there is a ticket.
local function count(w, t)
  if not t.counted then
    if not t.isNew or not w.account then return end
    t.counted = '0 0 ' .. w.account
    hl_account_add(w.account, t.name, 1, 0)
  elseif t.major < w.first and not w.ranges and not w.beside and not w.ticket then
    if #w.kinds == 0 or string.byte(t.counted) == 43 then return end
    local _, _, account = hl_counted(t.counted)
    redis.call('HSET', t.key, '${META.counted}', '+' .. t.counted)
    redis.call('SADD', part .. '${ACCOUNT_KEYS.unsettled}' .. account, t.name)
    return
  end
  local topics, bytes, version = hl_settle(t.key, t.name, t.counted, t.bytes + t.minorBytes, w.beside)
  if w.ticket then
    local _, _, account = hl_counted(t.counted)
    return use_ticket(w, account, topics, bytes, version)
  end
end
`;
