// The Lua functions that count what an account holds in this partition. Follows PARTITION_LUA. Every script that writes
// to a topic or ends it counts in the same step, so the figures are as safe as the topics (ADR 19). An append of
// minor records alone leaves the figures as they are and notes the topic once, so that a token costs no further
// command.
//
//   P:ac             hash: account → '<topics> <bytes> <version>'; `>`, while a recount is under way: the name up to
//                    which it has come
//   P:au:<account>   set: topics with minor records that are not in the figures yet
//   P:at:<account>   zset: tickets of the home (accounts/home-scripts.ts) that were used here, score = the version in
//                    which they are counted
//   P:ar             when the last recount ended (ms)
//   P:arn P:arb      hashes: account → topics and bytes that the recount has found
//
// A version is the server's clock in µs, and no version of an account is given twice.
//
// Functions for the rest of the engine, in the table that hl_accounts() returns. Each run of a script makes the
// script's functions again, so these are made only in a run that needs them: most appends are tokens.
//   figures(account)          returns its topics, bytes and version
//   set(account, topics, bytes, version)        sets them
//   next_version(version)     returns a version after that one
//   add(account, topic, topics, bytes)          adds to its figures for a topic; returns them
//   counted(text)             returns bytes, besideBytes and account of META.counted
//   settle(topic, text, bytes, beside)          counts what the topic holds now; returns META.counted, then the figures
//   ended(t)                  when a topic that is counted ends
import { ACCOUNT_KEYS, META } from '../keys.ts';

/** A ticket is used within this time, or not at all. */
export const TICKET_MS = 60_000;
/** The clocks of all masters agree within this time. */
export const TICKET_SLACK_MS = 30_000;

export const ACCOUNT_LUA = `
local hl_made_accounts
local function hl_accounts()
  if hl_made_accounts then return hl_made_accounts end
  local accounts, figures, recount_name = {}, part .. '${ACCOUNT_KEYS.figures}', nil
  hl_made_accounts = accounts

  function accounts.figures(account)
    local found = redis.call('HMGET', figures, account, '>')
    recount_name = found[2]
    local topics, bytes, version = string.match(found[1] or '', '^(%-?%d+) (%-?%d+) (%d+)$')
    return tonumber(topics or 0), tonumber(bytes or 0), tonumber(version or 0)
  end

  function accounts.next_version(version)
    if not now_micros then
      local time = redis.call('TIME')
      now_micros = time[1] * 1000000 + time[2]
    end
    return math.max(now_micros, version + 1)
  end

  function accounts.set(account, topics, bytes, version)
    if topics == 0 and bytes == 0 then redis.call('HDEL', figures, account)
    else redis.call('HSET', figures, account, string.format('%.0f %.0f %.0f', topics, bytes, version)) end
  end

  -- Whether the first name is not behind the second one in the order of P:names, which is that of the bytes. The order
  -- of Lua depends on the server's locale.
  local function in_order(one, other)
    for i = 1, math.min(#one, #other) do
      local a, b = string.byte(one, i), string.byte(other, i)
      if a ~= b then return a < b end
    end
    return #one <= #other
  end

  function accounts.add(account, topic, topics, bytes)
    local all_topics, all_bytes, version = accounts.figures(account)
    all_topics, all_bytes, version = all_topics + topics, all_bytes + bytes, accounts.next_version(version)
    accounts.set(account, all_topics, all_bytes, version)
    if recount_name and in_order(topic, recount_name) then
      redis.call('HINCRBY', part .. '${ACCOUNT_KEYS.recountTopics}', account, topics)
      redis.call('HINCRBY', part .. '${ACCOUNT_KEYS.recountBytes}', account, bytes)
    end
    return all_topics, all_bytes, version
  end

  function accounts.counted(text)
    local bytes, beside, account = string.match(text, '^%+?(%d+) (%d+) (.+)$')
    return tonumber(bytes), tonumber(beside), account
  end

  function accounts.settle(topic, text, bytes, new_beside)
    local counted, beside, account = accounts.counted(text)
    beside = new_beside or beside
    bytes = bytes + beside
    if string.byte(text) == 43 then redis.call('SREM', part .. '${ACCOUNT_KEYS.unsettled}' .. account, topic) end
    return string.format('%.0f %.0f %s', bytes, beside, account), accounts.add(account, topic, 0, bytes - counted)
  end

  function accounts.ended(t)
    local bytes, _, account = accounts.counted(t.counted)
    if string.byte(t.counted) == 43 then redis.call('SREM', part .. '${ACCOUNT_KEYS.unsettled}' .. account, t.name) end
    -- Redis does not take -0, which -bytes may be.
    accounts.add(account, t.name, -1, 0 - bytes)
  end

  return accounts
end
`;

/** Of the append (append.ts). */
export const CHARGE_LUA = `
local made_charges
local function charges()
  if made_charges then return made_charges end
  local charges = {}
  made_charges = charges

  -- What a write says for the account of its topic, '<account>,<besideBytes>,<ticket>,<version>' with '~' for an absent
  -- value: the account of a topic that the write may make; the home's ticket for its quota, or 'dry' to check the write
  -- only; the version of this partition's figures that the home has.
  function charges.read(w, text)
    local account, beside, ticket, known = string.match(text, '^([^,]+),([^,]+),([^,]+),([^,]+)$')
    w.account = account ~= '~' and account or nil
    w.beside = tonumber(beside)
    w.ticket = ticket ~= '~' and ticket or nil
    w.known = known
    if ticket == 'dry' then charges.is_dry = true end
  end

  function charges.is_late(w)
    return w.ticket ~= 'dry' and now > tonumber(string.match(w.ticket, '^%d+'))
  end

  -- Notes that the figures contain what the ticket was for. Returns what the home must learn of this partition.
  local function use_ticket(w, account, topics, bytes, version)
    local key = part .. '${ACCOUNT_KEYS.applied}' .. account
    redis.call('ZREMRANGEBYSCORE', key, '-inf', w.known)
    redis.call('ZADD', key, version, w.ticket)
    redis.call('PEXPIRE', key, ${TICKET_MS + 2 * TICKET_SLACK_MS})
    local tickets = table.concat(redis.call('ZRANGE', key, 0, -1), ' ')
    return {string.format('%.0f', topics), string.format('%.0f', bytes), string.format('%.0f', version), tickets}
  end

  -- Counts a write whose records are in the topic. Returns what use_ticket returns, if there is a ticket.
  function charges.count(w, t, set)
    local accounts = hl_accounts()
    if not t.counted then
      t.counted = '0 0 ' .. w.account
      accounts.add(w.account, t.name, 1, 0)
    elseif t.major < w.first and not w.ranges and not w.beside and not w.ticket then
      if #w.kinds == 0 then return end
      local _, _, account = accounts.counted(t.counted)
      set('${META.counted}', '+' .. t.counted)
      redis.call('SADD', part .. '${ACCOUNT_KEYS.unsettled}' .. account, t.name)
      return
    end
    local counted, topics, bytes, version = accounts.settle(t.name, t.counted, t.bytes + t.minorBytes, w.beside)
    set('${META.counted}', counted)
    if w.ticket then
      local _, _, account = accounts.counted(counted)
      return use_ticket(w, account, topics, bytes, version)
    end
  end

  return charges
end
`;
