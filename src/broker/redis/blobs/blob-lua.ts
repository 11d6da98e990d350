// The scripts of blobs in Redis. Everything of an owner is in the partition of its topic, so that a blob is where its
// topic is, and moves with it.
//
//   P:bo                  zset, score 0: the owners, `<topic>~<generation>`
//   P:bi:<owner>          hash: the ids of its blobs, sealed or not, each with '1'; and `@`, when one changed last
//   P:b:<owner>:<id>      hash: the chunks by their number, and `head` once it is sealed
//
// Every key but the first has the time to live that its writer gives. Chunks are text (redis-blobs.ts).
import { redisScript } from '../connection/redis-commands.ts';
import { BLOB_KEYS } from '../keys.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';

const BLOB_LUA = `${PARTITION_LUA}
local owner = ARGV[2]
local ids = part .. '${BLOB_KEYS.ids}' .. owner
local function key_of(id)
  return part .. '${BLOB_KEYS.blob}' .. owner .. ':' .. id
end
local function hl_ids()
  local found = {}
  for _, id in ipairs(redis.call('HKEYS', ids)) do if id ~= '@' then found[#found + 1] = id end end
  return found
end
local function live(key, ttl)
  if ttl == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
end
`;

/** ARGV  time, owner, id, ttl. Returns 0 if the id is taken. */
export const BEGIN_BLOB = redisScript(
  'begin blob',
  `${BLOB_LUA}
local key = key_of(ARGV[3])
if redis.call('EXISTS', key) == 1 then return 0 end
redis.call('HSET', key, 'begun', now)
live(key, ARGV[4])
redis.call('HSET', ids, ARGV[3], '1', '@', now)
live(ids, ARGV[4])
redis.call('ZADD', part .. '${BLOB_KEYS.owners}', 0, owner)
return 1
`,
  { needsRoom: true },
);

/** ARGV  time, owner, id, number, chunk. Returns 0 if the blob is not there, or is not at that chunk. */
export const WRITE_BLOB = redisScript(
  'write blob',
  `${BLOB_LUA}
local key = key_of(ARGV[3])
if redis.call('HLEN', key) ~= tonumber(ARGV[4]) + 1 then return 0 end
redis.call('HSET', key, ARGV[4], ARGV[5])
return 1
`,
  { needsRoom: true },
);

/** ARGV  time, owner, id, number of chunks, head. Returns 0 as above. */
export const SEAL_BLOB = redisScript(
  'seal blob',
  `${BLOB_LUA}
local key = key_of(ARGV[3])
if redis.call('HLEN', key) ~= tonumber(ARGV[4]) + 1 then return 0 end
redis.call('HSET', key, 'head', ARGV[5])
redis.call('HSET', ids, '@', now)
return 1
`,
  { needsRoom: true, isPromised: true },
);

/** ARGV  time, owner, id, field. Returns its text, or nil. */
export const READ_BLOB = redisScript('read blob', `${BLOB_LUA}return redis.call('HGET', key_of(ARGV[3]), ARGV[4])`);

/** ARGV  time, owner, id (all of them if it is absent). */
export const REMOVE_BLOB = redisScript(
  'remove blob',
  `${BLOB_LUA}
for _, id in ipairs(ARGV[3] and {ARGV[3]} or hl_ids()) do
  redis.call('UNLINK', key_of(id))
  redis.call('HDEL', ids, id)
end
if redis.call('HLEN', ids) <= 1 then
  redis.call('DEL', ids)
  redis.call('ZREM', part .. '${BLOB_KEYS.owners}', owner)
end
return 1
`,
  { allowsFull: true, isPromised: true },
);

/** ARGV  time, owner. Returns id, '1' if it is sealed, id, …; forgets ids whose blob is gone. */
export const LIST_BLOBS = redisScript(
  'list blobs',
  `${BLOB_LUA}
local found = {}
for _, id in ipairs(hl_ids()) do
  if redis.call('EXISTS', key_of(id)) == 1 then
    found[#found + 1] = id
    found[#found + 1] = tostring(redis.call('HEXISTS', key_of(id), 'head'))
  end
end
return found
`,
);

/** ARGV  time, owner, ttl. */
export const KEEP_BLOBS = redisScript(
  'keep blobs',
  `${BLOB_LUA}
for _, id in ipairs(hl_ids()) do live(key_of(id), ARGV[3]) end
live(ids, ARGV[3])
return 1
`,
  { allowsFull: true },
);

/** ARGV  time, the owner before the first, limit. Returns owner, when it changed last, owner, … in the order of their
 *  names. */
export const BLOB_OWNERS = redisScript(
  'owners of blobs',
  `${PARTITION_LUA}
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYLEX', part .. '${BLOB_KEYS.owners}', from, '+', 'LIMIT', 0, ARGV[3])) do
  found[#found + 1] = name
  found[#found + 1] = redis.call('HGET', part .. '${BLOB_KEYS.ids}' .. name, '@') or '0'
end
return found
`,
);
