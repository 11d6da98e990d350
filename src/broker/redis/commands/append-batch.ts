// The script for the usual append, that of a token: one write of minor records under a fence, to a topic that exists
// in the expected epoch, and nothing else. One call takes such writes of many callers and topics. Each of them is done
// as a whole or left out, whatever becomes of the others. Whatever is not usual about a write is answered with -1 and
// changes nothing: append.ts then decides it by all the rules, so this script has no rule of its own, and no refusal.
//   KEYS  the tags of the partitions; they are on one server
//   ARGV  time, the tag whose channel receives the batch, then for each write:
//         number of its partition in KEYS, topic, epoch, fence, seq, number of records, and the data of each record
// Returns a number for each write: the offset of its first record, or -1.
import type { Appended, TopicWrite } from '../../broker.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { META, PARTITION_KEYS, TOPIC_KEYS, type RedisKeys } from '../keys.ts';
import { PARTITION_LUA } from './partition-lua.ts';
import { MATCH_LUA } from './queue-lua.ts';
import { LIFE_LUA } from './topic-lua.ts';

/** The most writes in one call, and the most UTF-16 code units of their data: both bound how long the script runs. */
export const BATCH_WRITES_MAX = 128;
export const BATCH_CHARS_MAX = 64 * 1024;
/** The most records of a usual write, and UTF-16 code units of their data: in UTF-8 less than PUBLISH_BYTES_MAX, so
 *  that the message about a batch always has the records. */
const RECORDS_MAX = 64;
const CHARS_MAX = 4 * 1024;

export const APPEND_BATCH = redisScript(
  'append-batch',
  `${PARTITION_LUA}${MATCH_LUA}${LIFE_LUA}
local info = redis.call('INFO', 'replication')
local id = string.match(info, 'master_replid:(%x+)')
local has_replicas = not string.find(info, 'connected_slaves:0', 1, true)

-- By partition: the era, if no record can have been lost since the last write (hl_look in topic-lua.ts would change
-- nothing); else false. And the known groups.
local eras, groups = {}, {}
for i, tag in ipairs(KEYS) do
  local life = redis.pcall('HMGET', tag .. '${PARTITION_KEYS.history}', 'id', 'era', 'rep')
  groups[i] = redis.pcall('HVALS', tag .. '${PARTITION_KEYS.queue}')
  eras[i] = not life.err and not groups[i].err and life[1] == id and (life[3] == '1' or not has_replicas) and life[2]
end

local function is_grouped(place, topic)
  for _, known in ipairs(groups[place]) do
    if hl_consumes(known, topic) then return true end
  end
  return false
end

-- The time at which a topic with a plain TTL expires, by its TTL.
local ends_at = {}
local function plain_expiry(ttl)
  local at = ends_at[ttl]
  if not at then
    at = string.format('%.0f', lifetime_now + ttl)
    ends_at[ttl] = at
  end
  return at
end

local function expiry(ttl, life)
  if not life then return ttl and plain_expiry(ttl) end
  local t = {ttl = ttl}
  hl_life(t, life)
  local at = hl_expiry(t)
  return at and string.format('%.0f', at)
end

-- An error of a write is one of its key, which append.ts meets again; or one of the server that refuses all writes, and
-- then it refuses the first one.
local has_written = false
local function failed(reply)
  if has_written or string.find(reply.err, '^WRONGTYPE') or string.find(reply.err, '^ERR') then return -1 end
  error(reply, 0)
end

local heads, texts = {}, {}
local function append(place, topic, epoch, fence, seq, from, to)
  local key = KEYS[place] .. '${TOPIC_KEYS.meta}' .. topic
  local v = redis.pcall('HMGET', key, '${META.epoch}', '${META.era}', '${META.fence}', '${META.lastSeq}', '${META.next}', '${META.minorBytes}',
    '${META.ttlMs}', '${META.expiresAt}', '${META.dueAt}', '${META.life}', '${META.counted}', '${META.ended}')
  if v[1] ~= epoch or not eras[place] or v[2] ~= eras[place] or v[3] ~= fence or v[12] then return -1 end
  if tonumber(v[4] or 0) + 1 ~= tonumber(seq) then return -1 end
  if v[8] and tonumber(v[8]) <= lifetime_now then return -1 end
  -- The account does not know yet that minor records came.
  if v[11] and string.byte(v[11]) ~= 43 then return -1 end
  local expires = expiry(v[7], v[10])
  if expires and (not v[9] or tonumber(v[9]) > tonumber(expires)) then return -1 end
  if is_grouped(place, topic) then return -1 end

  local stream, first, bytes, lengths = KEYS[place] .. '${TOPIC_KEYS.minors}' .. topic, tonumber(v[5] or 0), 0, nil
  for i = from, to do
    local reply = redis.pcall('XADD', stream, (first + i - from + 1) .. '-0', 'd', ARGV[i])
    if type(reply) == 'table' and reply.err then return failed(reply) end
    has_written = true
    local length = #ARGV[i]
    bytes = bytes + length
    lengths = lengths and lengths .. ',' .. length or length
    texts[#texts + 1] = ARGV[i]
  end
  local next = first + to - from + 1
  local answer, minor_bytes = epoch .. ',' .. first .. ',' .. next, tonumber(v[6] or 0) + bytes
  if expires then
    redis.call('HSET', key, '${META.next}', next, '${META.lastSeq}', seq, '${META.lastAnswers}', answer, '${META.minorBytes}', minor_bytes, '${META.expiresAt}', expires)
  else
    redis.call('HSET', key, '${META.next}', next, '${META.lastSeq}', seq, '${META.lastAnswers}', answer, '${META.minorBytes}', minor_bytes)
  end
  heads[#heads + 1] = topic .. ' ' .. bytes .. ' ' .. epoch .. ' ' .. first .. ' ' .. (expires or '-') .. ' ' .. lengths
  return first
end

local answers, left, at = {}, {}, 3
while at <= #ARGV do
  local from = at + 6
  local to = at + 5 + tonumber(ARGV[at + 5])
  local topic, first = ARGV[at + 1], -1
  -- What follows a write that was left out must not be done before it.
  if not left[topic] then first = append(tonumber(ARGV[at]), topic, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], from, to) end
  left[topic] = first < 0
  answers[#answers + 1] = first
  at = to + 1
end
if #heads > 0 then redis.call('SPUBLISH', ARGV[2] .. '${PARTITION_KEYS.batches}', table.concat(heads, '\\n') .. '\\n\\n' .. table.concat(texts)) end
return answers
`,
  { isPromised: true, needsRoom: true },
);

/** A write of the usual form. */
export interface UsualWrite extends TopicWrite {
  readonly expect: { readonly epoch: string };
  readonly fence: { readonly fence: number; readonly seq: number };
}

/** What a usual write says. With anything else it is not usual, also with what later versions add. */
const USUAL: ReadonlySet<string> = new Set<keyof TopicWrite>(['topic', 'records', 'expect', 'fence']);

/** The write of an append that this script may take. */
export function usualWriteOf(writes: readonly TopicWrite[]): UsualWrite | undefined {
  const [write] = writes;
  if (write === undefined || writes.length > 1) return undefined;
  if (write.fence === undefined || !('epoch' in write.expect)) return undefined;
  for (const [name, value] of Object.entries(write)) if (value !== undefined && !USUAL.has(name)) return undefined;
  const { records } = write;
  if (records.length === 0 || records.length > RECORDS_MAX || charsOf(write) > CHARS_MAX) return undefined;
  return records.every(isMinor) ? (write as UsualWrite) : undefined;
}

function isMinor({ major }: TopicWrite['records'][number]): boolean {
  return !major;
}

/** UTF-16 code units of the data. */
export function charsOf({ records }: TopicWrite): number {
  let chars = 0;
  for (const { data } of records) chars += data.length;
  return chars;
}

export interface BatchCall {
  /** In the order of KEYS. */
  readonly partitions: readonly number[];
  readonly args: readonly (string | number)[];
}

/** `writes`: all of one batch place. */
export function encodeBatch(writes: readonly UsualWrite[], batchPlace: number, keys: RedisKeys): BatchCall {
  const numbers = new Map<number, number>();
  const args: (string | number)[] = [keys.tag(batchPlace)];
  for (const { topic, expect, fence, records } of writes) {
    const partition = keys.partitionOf(topic);
    let number = numbers.get(partition);
    if (number === undefined) {
      number = numbers.size + 1;
      numbers.set(partition, number);
    }
    args.push(number, topic, expect.epoch, fence.fence, fence.seq, records.length);
    for (const { data } of records) args.push(data);
  }
  return { partitions: [...numbers.keys()], args };
}

/** Undefined for a write that append.ts must decide. In the order of the writes. @throws BrokerError corrupt */
export function decodeBatch(writes: readonly UsualWrite[], reply: RedisReply): readonly (Appended | undefined)[] {
  const firsts: readonly RedisReply[] = Array.isArray(reply) ? (reply as readonly RedisReply[]) : [];
  if (firsts.length !== writes.length) throw wrongReply('append-batch');
  return writes.map(({ expect, records }, i) => {
    const first = firsts[i];
    if (typeof first !== 'number') throw wrongReply('append-batch');
    return first < 0 ? undefined : { epoch: expect.epoch, first, next: first + records.length };
  });
}
