// The script that reads: it merges a topic's two streams and its holes in order of offset, in either direction, within
// limits.
//   ARGV  time, topic, from ('earliest', 'end' or the epoch), offset, step (1 or -1), bytes, records, majorOnly ('1')
// Returns {'missing'}, {'reset', reason, epoch, next}, or
//   {'batch', epoch, next, end, lastMajor, expiresAt,
//     then three for each item: offset, 'M' or 'm', data, or from, to, by}
// An offset with neither a record nor a declared hole leads to a reset (undeclared-hole). The items before it are
// returned first, and the next read returns the reset.
import { READ_BYTES, READ_RECORDS, TOMBSTONE_MS } from '../../broker.ts';
import type { LogItem, ReadFrom, ReadOptions, ReadResult, ResetReason } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { TOPIC_KEYS } from '../keys.ts';
import { TOPIC_LUA } from './topic-lua.ts';

export interface RedisRead {
  readonly result: ReadResult;
  /** Ms since 1970, for a live topic with a TTL. */
  readonly expiresAt: number | undefined;
}
/** The most records of one kind in the first fetch, when their size is unknown, and in each later fetch. */
const CHUNK_FIRST = 16;
const CHUNK_MAX = 512;

export const READ = redisScript(
  'read',
  `${TOPIC_LUA}
local topic, from, offset, step = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local max_bytes, max_records, major_only = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'

hl_see()
local t, tombstone = hl_topic(topic)
if not t then
  if not tombstone or tombstone.at + ${TOMBSTONE_MS} <= now then return {'missing'} end
  return {'reset', tombstone.reason, tombstone.epoch, tombstone.next}
end
local function reset(reason)
  return {'reset', reason, t.epoch, t.next}
end
if from ~= 'earliest' and from ~= 'end' then
  if from ~= t.epoch then return reset('epoch-changed') end
  if offset > t.next then return reset('ahead-of-log') end
end

local bytes, count = 0, 0

-- The records of one stream in reading order, fetched in chunks.
local function source(key)
  return {key = key, entries = {}, at = 1, size = 0, isDone = false}
end

local function fetch(s, place)
  local wanted = s.size
  if wanted == 0 then
    wanted = ${CHUNK_FIRST}
  else
    wanted = math.max(1, math.min(${CHUNK_MAX}, math.floor((max_bytes - bytes) / math.max(1, s.average)) + 1))
  end
  wanted = math.min(wanted, max_records - count + 1)
  if step > 0 then s.entries = redis.call('XRANGE', s.key, place + 1, '+', 'COUNT', wanted)
  else s.entries = redis.call('XREVRANGE', s.key, place + 1, '-', 'COUNT', wanted) end
  local sum = 0
  for _, entry in ipairs(s.entries) do sum = sum + #entry[2][2] end
  s.size = #s.entries
  s.average = s.size > 0 and sum / s.size or 0
  s.at = 1
  if s.size < wanted then s.isDone = true end
end

-- The next record, in reading order, at an offset or behind it, and the record's offset.
local function head(s, place)
  local entry = s.entries[s.at]
  if not entry and not s.isDone then
    fetch(s, place)
    entry = s.entries[1]
  end
  if not entry then return nil, nil end
  return entry, tonumber(string.match(entry[1], '^%d+')) - 1
end

local majors, minors = source(part .. '${TOPIC_KEYS.majors}' .. topic), source(part .. '${TOPIC_KEYS.minors}' .. topic)
local at
if from == 'earliest' then at = 0
elseif from == 'end' then at = t.next - 1
elseif step > 0 then at = math.max(0, offset)
else at = math.min(offset, t.next - 1) end
if at > t.major and step > 0 then majors.isDone = true end

local reply = {'batch', t.epoch, 0, 0, t.major, t.expires and string.format('%.0f', t.expires) or '-'}
local function add(first, second, third)
  reply[#reply + 1] = first
  reply[#reply + 1] = second
  reply[#reply + 1] = third
  count = count + 1
end
-- Returns false, and adds nothing, if a limit is reached.
local function add_record(entry, place, kind)
  local data = entry[2][2]
  if count > 0 and bytes + #data > max_bytes then return false end
  bytes = bytes + #data
  add(place, kind, data)
  return true
end
local function finish(isEnd)
  reply[3] = at
  reply[4] = isEnd and 1 or 0
  return reply
end

if major_only then
  local start = at
  while true do
    local entry, place = head(majors, at)
    if not entry then break end
    if count >= max_records or not add_record(entry, place, 'M') then
      at = place
      return finish(false)
    end
    majors.at = majors.at + 1
    at = place + step
  end
  -- The topic's hash holds the offset of the last major record. If that record is not found, records were lost.
  local last = count > 0 and (step > 0 and reply[#reply - 2] or reply[7]) or -1
  local isWanted = (step > 0 and t.major >= start) or (step < 0 and t.major <= start and t.major >= 0)
  if isWanted and last ~= t.major then return reset('undeclared-hole') end
  at = step > 0 and t.next or -1
  return finish(true)
end

while at >= 0 and at < t.next do
  if count >= max_records then return finish(false) end
  local entry, place = head(majors, at)
  local kind, s = 'M', majors
  if place ~= at then
    entry, place = head(minors, at)
    kind, s = 'm', minors
  end
  if place == at then
    if not add_record(entry, place, kind) then return finish(false) end
    s.at = s.at + 1
    at = at + step
  else
    local member = redis.call('ZRANGEBYSCORE', part .. '${TOPIC_KEYS.holes}' .. topic, at, '+inf', 'LIMIT', 0, 1)[1]
    local low, high, by = string.match(member or '', '^(%d+):(%d+):(%d+)$')
    if not low or tonumber(low) > at then
      if count == 0 then return reset('undeclared-hole') end
      return finish(false)
    end
    if step > 0 then
      add(at, tonumber(high), tonumber(by))
      at = tonumber(high) + 1
    else
      add(tonumber(low), at, tonumber(by))
      at = tonumber(low) - 1
    end
  end
end
return finish(true)
`,
);

const REASONS: ReadonlySet<string> = new Set<ResetReason>([
  'expired',
  'removed',
  'trimmed',
  'epoch-changed',
  'ahead-of-log',
  'undeclared-hole',
]);
/** The number of values before the first item. */
const BATCH_HEAD = 6;

export function encodeRead(topic: LiteTopicName, from: ReadFrom, options: ReadOptions): (string | number)[] {
  const { direction = 'forward', maxBytes = READ_BYTES, maxRecords = READ_RECORDS, majorOnly = false } = options;
  const [start, offset] = typeof from === 'string' ? [from, 0] : [from.epoch, from.offset];
  return [
    topic,
    start,
    offset,
    direction === 'forward' ? 1 : -1,
    Math.min(maxBytes, Number.MAX_SAFE_INTEGER),
    Math.min(maxRecords, Number.MAX_SAFE_INTEGER),
    majorOnly ? '1' : '0',
  ];
}

/** @throws BrokerError corrupt */
export function decodeRead(reply: RedisReply): RedisRead {
  if (!Array.isArray(reply)) throw wrongReply('read');
  const parts = reply as readonly RedisReply[];
  if (parts[0] === 'batch') return decodeBatch(parts);
  if (parts[0] === 'missing') return { result: { kind: 'missing' }, expiresAt: undefined };
  const [kind, reason, epoch, next] = parts;
  if (
    kind !== 'reset' ||
    typeof reason !== 'string' ||
    !REASONS.has(reason) ||
    typeof epoch !== 'string' ||
    typeof next !== 'number'
  )
    throw wrongReply('read');
  return { result: { kind: 'reset', reason: reason as ResetReason, epoch, earliest: 0, next }, expiresAt: undefined };
}

function decodeBatch(parts: readonly RedisReply[]): RedisRead {
  const [, epoch, next, end, , expires] = parts;
  if (typeof epoch !== 'string' || typeof next !== 'number' || typeof expires !== 'string') throw wrongReply('read');
  const items = new Array<LogItem>((parts.length - BATCH_HEAD) / 3);
  for (let i = 0; i < items.length; i++) items[i] = decodeItem(parts, BATCH_HEAD + 3 * i);
  return {
    result: { kind: 'batch', epoch, items, next, end: end === 1 },
    expiresAt: expires === '-' ? undefined : Number(expires),
  };
}

function decodeItem(parts: readonly RedisReply[], at: number): LogItem {
  const [first, second, third] = [parts[at], parts[at + 1], parts[at + 2]];
  if (typeof first !== 'number') throw wrongReply('read');
  if (typeof second === 'number' && typeof third === 'number')
    return { kind: 'hole', from: first, to: second, by: third };
  if (typeof third !== 'string') throw wrongReply('read');
  return { kind: 'record', offset: first, major: second === 'M', data: third };
}
