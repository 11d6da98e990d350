// The Lua functions that scripts share for topics: finding a topic, checking the partition's era, and ending a topic.
// Follows PARTITION_LUA, QUEUE_LUA and ACCOUNT_LUA.
//
// The era: a Redis that restarts or fails over may come back with less data, and would give the same offsets a second
// time. P:life holds the replication id of the server that wrote last, and the era. A script that writes and finds
// another id, or no P:life, begins a new era, in which every topic of the partition has another epoch. Readers with the
// old epoch receive `epoch-changed`. A server may come back in the same era only if it flushes before it answers
// (`keeps`), never had a replica (`rep`), and was not promoted (it has no second id). A slot that was moved in order
// also keeps its era: the master that gave it away is alive, and a node has read that master's id (`vouched`).
//
//   P:life   id: master_replid   era: µs since 1970, in hex   rep: 1 once the server was seen with a replica
//
// Functions for the scripts of this folder:
//   hl_look(keeps)     in a script that writes, before the first write: makes the era that of this server
//   hl_see()           in a script that does not write: reads the recorded era
//   hl_topic(name)     returns the topic if it is alive; else nil and its tombstone, if any. Ends the topic if it has
//                      expired.
//   hl_live(w, t, fields)  what the topic has besides a plain TTL after the write; adds the changed field
//   hl_expiry(t)       when the topic expires if its last write or last reader is now
//   hl_end(t, reason)  ends the topic
import { ACCOUNT_LUA } from './account-lua.ts';
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';
import { PARTITION_LUA } from './partition-lua.ts';
import { QUEUE_LUA } from './queue-lua.ts';
import { TOMBSTONE_MS } from '../../broker.ts';
import { READER_TTL_MIN_MS } from '../../lifetime.ts';

/** Redis deletes a tombstone this long after TOMBSTONE_MS, when reads no longer report it. */
const SLACK_MS = 60_000;
const NO_REPLICATION_ID = '0'.repeat(40);

/** Follows PARTITION_LUA. */
export const LIFE_LUA = `
-- What a topic has besides a plain TTL (META.life).
local function hl_life(t, life)
  local mode, born, ends = string.match(life, '^(%a) (%d+) (%S+)$')
  t.mode, t.born, t.ends = mode, tonumber(born), tonumber(ends)
end

-- What the topic has after a write, as lifeAfter of lifetime.ts.
local function hl_live(w, t, fields)
  local hardMax = t.isNew and tonumber(w.hardMax) or nil
  if not hardMax and (w.mode == '-' or w.mode == (t.mode or 'i')) then return end
  if hardMax then t.ends = lifetime_now + hardMax end
  t.mode = w.mode == '-' and 'i' or w.mode
  t.born = t.born or lifetime_now
  fields[#fields + 1] = '${META.life}'
  fields[#fields + 1] = t.mode .. ' ' .. string.format('%.0f', t.born) .. ' ' .. (t.ends and string.format('%.0f', t.ends) or '-')
end

-- When a topic expires whose last write or last reader is now (lifetime.ts).
local function hl_expiry(t)
  local ttl = tonumber(t.ttl)
  if not ttl then return t.ends end
  local at
  if t.mode == 'a' then at = t.born + ttl
  elseif t.mode == 'r' then at = lifetime_now + math.max(ttl, ${READER_TTL_MIN_MS})
  else at = lifetime_now + ttl end
  if t.ends and t.ends < at then return t.ends end
  return at
end
`;

export const TOPIC_LUA = `${PARTITION_LUA}${QUEUE_LUA}${ACCOUNT_LUA}${LIFE_LUA}
local hl_era

local function hl_see()
  hl_era = redis.call('HGET', part .. '${PARTITION_KEYS.history}', 'era') or '0'
end

local function hl_look(keeps)
  local key = part .. '${PARTITION_KEYS.history}'
  local life = redis.call('HMGET', key, 'id', 'era', 'rep')
  local info = redis.call('INFO', 'replication')
  local id = string.match(info, 'master_replid:(%x+)')
  local replicas = string.find(info, 'connected_slaves:0', 1, true) and '0' or '1'
  if life[1] == id then
    hl_era = life[2]
    if life[3] ~= replicas and replicas == '1' then redis.call('HSET', key, 'rep', '1') end
    return
  end
  local second = string.match(info, 'master_replid2:(%x+)')
  local restarted = keeps and life[3] == '0' and second == '${NO_REPLICATION_ID}'
  local moved = vouched == life[1] and second ~= life[1]
  if life[1] and (restarted or moved) then
    hl_era = life[2]
  else
    local time = redis.call('TIME')
    hl_era = string.format('%x', time[1] * 1000000 + time[2])
  end
  redis.call('HSET', key, 'id', id, 'era', hl_era, 'rep', replicas)
end

local function hl_end(t, reason)
  -- Frees memory first: a full server then accepts the other writes of the script.
  redis.call('UNLINK', part .. '${TOPIC_KEYS.majors}' .. t.name, part .. '${TOPIC_KEYS.minors}' .. t.name, part .. '${TOPIC_KEYS.holes}' .. t.name)
  hl_drop(part, t.name)
  redis.call('DEL', t.key)
  redis.call('HSET', t.key, '${META.epoch}', t.epoch, '${META.next}', t.next, '${META.ended}', reason, '${META.endedAt}', now)
  redis.call('PEXPIRE', t.key, ${TOMBSTONE_MS + SLACK_MS})
  if t.counted then hl_accounts().ended(t) end
  redis.call('ZREM', part .. '${PARTITION_KEYS.names}', t.name)
  redis.call('ZREM', part .. '${PARTITION_KEYS.due}', t.name)
  redis.call('SPUBLISH', part .. '${TOPIC_KEYS.channel}' .. t.name, 'end')
end

local function hl_topic(name)
  local key = part .. '${TOPIC_KEYS.meta}' .. name
  local v = redis.call('HMGET', key, '${META.epoch}', '${META.era}', '${META.next}', '${META.lastMajor}', '${META.fence}', '${META.lastSeq}', '${META.lastAnswers}',
    '${META.ttlMs}', '${META.expiresAt}', '${META.priority}', '${META.majorBytes}', '${META.minorBytes}', '${META.dueAt}', '${META.ended}', '${META.endedAt}', '${META.life}', '${META.counted}')
  if not v[1] then return nil end
  local next = tonumber(v[3] or 0)
  if v[14] then return nil, {epoch = v[1], next = next, reason = v[14], at = tonumber(v[15])} end
  local t = {name = name, key = key, epoch = v[1], next = next, major = tonumber(v[4] or -1), fence = tonumber(v[5] or -1), seq = tonumber(v[6] or 0),
    answers = v[7] or '', ttl = v[8], expires = tonumber(v[9]), priority = v[10] or 'normal', bytes = tonumber(v[11] or 0), minorBytes = tonumber(v[12] or 0), due = tonumber(v[13]), counted = v[17]}
  if v[2] ~= hl_era then
    t.isOfOldEra = true
    t.epoch = string.match(v[1], '^[^-]+') .. '-' .. hl_era
  end
  if v[16] then hl_life(t, v[16]) end
  if t.expires and t.expires <= lifetime_now and ((t.ends and t.ends <= lifetime_now) or not hl_lagging(part, name, key, next)) then
    hl_end(t, 'expired')
    return nil, {epoch = t.epoch, next = next, reason = 'expired', at = now}
  end
  return t
end

-- The topic's state in one line, for lists and descriptions.
local function hl_info(t)
  return table.concat({t.epoch, t.next, t.major, t.fence, string.format('%.0f', t.bytes + t.minorBytes), t.ttl or '-', t.expires and string.format('%.0f', t.expires) or '-', t.mode or '-', t.ends and string.format('%.0f', t.ends) or '-'}, ' ')
end
`;
