// The script that appends: it checks the rules of append-rules.ts and applies the writes in one step. The contract
// suite and the model suite run on both implementations, so that they stay equal.
//   ARGV  time, keeps ('1': every acknowledged write survives a restart of the server), then for each write:
//         topic, header, and the data of each record
//   header  one line, '-' for an absent value:
//           expect ('epoch', 'create', 'absent')  epoch (the expected or a new one)  epoch and offset of ifUnchanged
//           fence  seq  takeFence  ttlMs  ttlMode ('i', 'r', 'a')  hardMaxMs  priority and delay ('low', '+5', 'low+5')
//           kinds of the records ('Mmm')  supersedes ('1-5,7-7'), and behind a ';' what counts for the account
//           (account-lua.ts)
// Returns '<epoch>,<first>,<next>' for each write, separated by ';', or {code, message} for a refusal. With a ticket
// for a quota: {'counted', those answers, topics, bytes and version of the account in this partition, its tickets}. The
// script checks everything before it writes anything, including the types of all keys, because Redis does not undo a
// script that fails.
import { redisScript } from '../connection/redis-commands.ts';
import { META, PARTITION_KEYS, TOPIC_KEYS } from '../keys.ts';
import { CHARGE_LUA } from './account-lua.ts';
import { TOPIC_LUA } from './topic-lua.ts';

/** The most bytes of data in the message about one append. Readers read a larger append from the log. */
export const PUBLISH_BYTES_MAX = 16 * 1024;
/** The most gaps between superseded ranges that are searched for a remaining record. */
const GAPS_MAX = 64;
/** The most records in one XRANGE or XDEL, which bounds what one step copies. */
const CHUNK = 256;
/** Redis allocates 4 KB for a new stream. A stream of at most this many records is copied into one of exact size when
 *  it is likely to stay so: with its first record (minor ones: with the topic's first), and when an answer is
 *  complete. */
const SHRINK_RECORDS_MAX = 64;

const APPEND_LUA = `${TOPIC_LUA}${CHARGE_LUA}
local function refused(code, message)
  return {code, message}
end

local function parsed(topic, header)
  local w = {topic = topic}
  local fence, seq, take, conditionOffset, kinds, supersedes
  w.expect, w.epoch, w.conditionEpoch, conditionOffset, fence, seq, take, w.ttl, w.mode, w.hardMax, w.priority, kinds, supersedes =
    string.match(header, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  w.conditionOffset = tonumber(conditionOffset)
  w.fence = tonumber(fence)
  w.seq = tonumber(seq)
  w.take = take == '1'
  w.kinds = kinds == '-' and '' or kinds
  if string.find(supersedes, ';', 1, true) then
    local charge
    supersedes, charge = string.match(supersedes, '^(.*);(.*)$')
    charges().read(w, charge)
  end
  if supersedes ~= '-' then
    w.ranges = {}
    for from, to in string.gmatch(supersedes, '(%d+)-(%d+)') do
      local last = w.ranges[#w.ranges]
      from, to = tonumber(from), tonumber(to)
      if last and last[2] + 1 == from then last[2] = to else w.ranges[#w.ranges + 1] = {from, to} end
    end
  end
  return w
end

local function anything(stream, from, to)
  return from <= to and #redis.call('XRANGE', stream, from + 1, to + 1, 'COUNT', 1) > 0
end

local function refusal(w)
  local t = w.t
  if w.expect == 'epoch' and (not t or t.epoch ~= w.epoch) then return 'epoch-changed', 'the topic is not in the expected epoch' end
  if w.expect == 'absent' and t then return 'conflict', 'the topic exists' end
  if w.fence and t then
    if w.fence ~= t.fence then return 'fenced', "the topic's fence is " .. t.fence end
    if w.seq ~= t.seq + 1 then return 'out-of-sequence', 'the next seq is ' .. (t.seq + 1) end
  end
  if w.conditionOffset then
    if not t or t.epoch ~= w.conditionEpoch then return 'epoch-changed', 'the topic is not in the epoch of ifUnchanged' end
    if t.major > w.conditionOffset then return 'conflict', 'a major record stands at ' .. t.major end
  end
  for _, range in ipairs(w.ranges or {}) do
    if range[2] >= (t and t.next or 0) then return 'invalid-append', 'supersedes offsets that do not exist yet' end
    if range[1] <= t.major and anything(part .. '${TOPIC_KEYS.majors}' .. w.topic, range[1], range[2]) then
      return 'invalid-append', 'a major record cannot be superseded'
    end
  end
  if w.ticket and charges().is_late(w) then return 'unavailable', 'the reservation for this write is over' end
end

-- Raises an error if a key is of another type. Called before the script writes anything.
local function check_types(w)
  if string.find(w.kinds, 'M', 1, true) then redis.call('XLEN', part .. '${TOPIC_KEYS.majors}' .. w.topic) end
  if w.ranges or string.find(w.kinds, 'm', 1, true) then redis.call('XLEN', part .. '${TOPIC_KEYS.minors}' .. w.topic) end
  if w.ranges then redis.call('ZCARD', part .. '${TOPIC_KEYS.holes}' .. w.topic) end
end

local function covers_all(stream, ranges)
  if #ranges > ${GAPS_MAX} then return false end
  local at = 0
  for _, range in ipairs(ranges) do
    if anything(stream, at, range[1] - 1) then return false end
    at = range[2] + 1
  end
  return #redis.call('XRANGE', stream, at + 1, '+', 'COUNT', 1) == 0
end

local function delete_minors(t, ranges)
  local stream = part .. '${TOPIC_KEYS.minors}' .. t.name
  if redis.call('XLEN', stream) == 0 then return end
  if covers_all(stream, ranges) then
    redis.call('UNLINK', stream)
    t.minorBytes = 0
    return
  end
  for _, range in ipairs(ranges) do
    repeat
      local found = redis.call('XRANGE', stream, range[1] + 1, range[2] + 1, 'COUNT', ${CHUNK})
      local ids = {}
      for i, entry in ipairs(found) do
        ids[i] = entry[1]
        t.minorBytes = t.minorBytes - #entry[2][2]
      end
      if #ids > 0 then redis.call('XDEL', stream, unpack(ids)) end
    until #found < ${CHUNK}
  end
end

-- An earlier hole that overlaps a range is cut: it ends before the range, and continues behind it.
local function declare_holes(t, ranges, by)
  local key = part .. '${TOPIC_KEYS.holes}' .. t.name
  for _, range in ipairs(ranges) do
    local from, to = range[1], range[2]
    repeat
      local under = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'LIMIT', 0, ${CHUNK})
      local isDone = #under < ${CHUNK}
      for _, member in ipairs(under) do
        local low, high, old = string.match(member, '^(%d+):(%d+):(%d+)$')
        low, high = tonumber(low), tonumber(high)
        if low > to then isDone = true break end
        redis.call('ZREM', key, member)
        if low < from then redis.call('ZADD', key, from - 1, low .. ':' .. (from - 1) .. ':' .. old) end
        if high > to then redis.call('ZADD', key, high, (to + 1) .. ':' .. high .. ':' .. old) end
      end
    until isDone
    redis.call('ZADD', key, to, from .. ':' .. to .. ':' .. by)
  end
end

local function shrink(stream)
  if redis.call('XLEN', stream) > ${SHRINK_RECORDS_MAX} then return end
  -- No topic name contains this character.
  redis.call('COPY', stream, stream .. '~', 'REPLACE')
  redis.call('RENAME', stream .. '~', stream)
end

-- For a topic that enters this era. A group may have consumed records that were lost. New records get their offsets, so
-- the consumed offset is lowered to the topic's end.
local function clamp_consumed(t)
  local fields = redis.call('HGETALL', t.key)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, ${META.consumed.length}) == '${META.consumed}' and tonumber(fields[i + 1]) > t.next then redis.call('HSET', t.key, fields[i], t.next) end
  end
end

local function born(w)
  local key = part .. '${TOPIC_KEYS.meta}' .. w.topic
  -- Records without the topic's hash: another program deleted the hash. They belong to no known epoch.
  local left = {part .. '${TOPIC_KEYS.majors}' .. w.topic, part .. '${TOPIC_KEYS.minors}' .. w.topic, part .. '${TOPIC_KEYS.holes}' .. w.topic}
  if redis.call('EXISTS', unpack(left)) > 0 then redis.call('UNLINK', unpack(left)) end
  if w.tombstone then redis.call('DEL', key) end
  return {name = w.topic, key = key, epoch = w.epoch, next = 0, major = -1, fence = -1, seq = 0, answers = '', bytes = 0, minorBytes = 0, isNew = true}
end

local function write_records(w, t)
  local majors, minors = part .. '${TOPIC_KEYS.majors}' .. t.name, part .. '${TOPIC_KEYS.minors}' .. t.name
  local hadMajor, hasMinor = t.major >= 0, false
  for i = 1, #w.kinds do
    local data = ARGV[w.data + i]
    if string.byte(w.kinds, i) == 77 then
      redis.call('XADD', majors, (t.next + 1) .. '-0', 'd', data)
      t.major = t.next
      t.bytes = t.bytes + #data
    else
      redis.call('XADD', minors, (t.next + 1) .. '-0', 'd', data)
      t.minorBytes = t.minorBytes + #data
      hasMinor = true
    end
    t.next = t.next + 1
  end
  if t.major >= w.first and (not hadMajor or w.ranges) then shrink(majors) end
  if hasMinor and (w.ranges or t.isNew) then shrink(minors) end
end

local function schedule(w, t, fields)
  if w.ttl ~= '-' then
    t.ttl = w.ttl
    fields[#fields + 1], fields[#fields + 2] = '${META.ttlMs}', w.ttl
  end
  if w.mode ~= '-' or (t.isNew and w.hardMax ~= '-') then hl_live(w, t, fields) end
  t.expires = hl_expiry(t)
  if not t.expires then return end
  fields[#fields + 1], fields[#fields + 2] = '${META.expiresAt}', t.expires
  -- The sweep finds a later expiry when the earlier time comes, so that a token does not move its topic in P:due.
  if t.due and t.due <= t.expires then return end
  fields[#fields + 1], fields[#fields + 2] = '${META.dueAt}', t.expires
  redis.call('ZADD', part .. '${PARTITION_KEYS.due}', t.expires, t.name)
end

local function publish(w, t)
  local lengths, data = #ARGV[w.data + 1], ARGV[w.data + 1]
  local bytes = lengths
  if #w.kinds > 1 then
    local all = {}
    for i = 2, #w.kinds do
      local length = #ARGV[w.data + i]
      all[i - 1] = length
      bytes = bytes + length
    end
    lengths = lengths .. ',' .. table.concat(all, ',')
    if bytes <= ${PUBLISH_BYTES_MAX} then data = table.concat(ARGV, '', w.data + 1, w.data + #w.kinds) end
  end
  local isWhole = bytes <= ${PUBLISH_BYTES_MAX}
  local what = isWhole and w.kinds .. ' ' .. lengths or '- -'
  local expires = t.expires and string.format('%.0f', t.expires) or '-'
  redis.call('SPUBLISH', part .. '${TOPIC_KEYS.channel}' .. t.name, 'add ' .. t.epoch .. ' ' .. w.first .. ' ' .. t.next .. ' ' .. t.major .. ' ' .. expires
    .. ' ' .. (w.ranges and '1' or '0') .. ' ' .. what .. '\\n' .. (isWhole and data or ''))
end

local function apply(w, answers)
  local t = w.t
  w.first = t.next - #w.kinds
  local fields = {'${META.next}', t.next}
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if t.isNew or t.isOfOldEra then
    set('${META.epoch}', t.epoch)
    set('${META.era}', hl_era)
  end
  if t.major >= w.first then set('${META.lastMajor}', t.major) end
  if w.take then
    set('${META.fence}', w.first)
    set('${META.lastSeq}', 0)
    set('${META.lastAnswers}', '')
  elseif w.fence then
    set('${META.lastSeq}', w.seq)
    set('${META.lastAnswers}', answers)
  end
  if w.priority ~= '-' then hl_schedule(w.priority, t.key, set) end
  set('${META.majorBytes}', t.bytes)
  set('${META.minorBytes}', t.minorBytes)
  schedule(w, t, fields)
  local figures
  if t.counted then
    -- Behind the first token of an answer, other tokens change nothing that counts.
    if string.byte(t.counted) ~= 43 or t.major >= w.first or w.ranges or w.beside or w.ticket then figures = charges().count(w, t, set) end
  elseif t.isNew and w.account then
    figures = charges().count(w, t, set)
  end
  redis.call('HSET', t.key, unpack(fields))
  return figures
end

hl_look(ARGV[2] == '1')
local writes = {}
local at = 3
while at <= #ARGV do
  local w = parsed(ARGV[at], ARGV[at + 1])
  w.data = at + 1
  at = at + 2 + #w.kinds
  w.t, w.tombstone = hl_topic(w.topic)
  writes[#writes + 1] = w
end

local fenced, retried, answered = 0, 0, nil
for _, w in ipairs(writes) do
  local t = w.t
  if w.fence then
    fenced = fenced + 1
    if t and w.expect == 'epoch' and t.epoch == w.epoch and t.fence == w.fence and t.seq == w.seq then
      retried = retried + 1
      answered = answered or t.answers
    end
  end
end
if retried > 0 then
  local _, separators = string.gsub(answered, ';', '')
  if retried ~= fenced or separators + 1 ~= #writes then return refused('out-of-sequence', 'this seq was another append') end
  return answered
end

local answers = {}
for i, w in ipairs(writes) do
  local code, message = refusal(w)
  if code then return refused(code, message) end
  local epoch, first = w.epoch, 0
  if w.t then epoch, first = w.t.epoch, w.t.next end
  answers[i] = epoch .. ',' .. first .. ',' .. (first + #w.kinds)
end
if #writes > 1 or writes[1].ranges or #writes[1].kinds > 1 then for _, w in ipairs(writes) do check_types(w) end end
answers = table.concat(answers, ';')
if made_charges and made_charges.is_dry then return refused('quota-reached', '') end

local figures
for _, w in ipairs(writes) do
  if not w.t then
    -- The first write is one that a full server refuses, so a refused script has changed nothing.
    redis.call('ZADD', part .. '${PARTITION_KEYS.names}', 0, w.topic)
    w.t = born(w)
  elseif w.t.isOfOldEra then
    clamp_consumed(w.t)
  end
  if w.ranges then
    -- Frees memory first: if this frees any, a full server accepts the other writes of the script.
    delete_minors(w.t, w.ranges)
    declare_holes(w.t, w.ranges, w.t.next)
  end
  w.first = w.t.next
  write_records(w, w.t)
  figures = apply(w, answers) or figures
end
for _, w in ipairs(writes) do
  if #w.kinds > 0 then publish(w, w.t) end
  hl_mark(part, w.topic)
end
if figures then return {'counted', answers, unpack(figures)} end
return answers
`;

export const APPEND = redisScript('append', APPEND_LUA, { isPromised: true, needsRoom: true });

/** How many bytes beyond `maxmemory` the appends that end or stop runs may use: enough for thousands of Stops. */
export const RESERVE_BYTES = 16 * 1024 * 1024;

/** For an append that a full server has refused, and that helps to free memory. */
export const APPEND_IN_RESERVE = redisScript(
  'append-in-reserve',
  `local hl_memory = redis.call('INFO', 'memory')
local hl_used, hl_max = string.match(hl_memory, 'used_memory:(%d+)'), string.match(hl_memory, 'maxmemory:(%d+)')
if tonumber(hl_max) > 0 and tonumber(hl_used) > tonumber(hl_max) + ${RESERVE_BYTES} then
  return redis.error_reply('OOM the reserve is used up as well')
end
${APPEND_LUA}`,
  { isPromised: true, allowsFull: true },
);
