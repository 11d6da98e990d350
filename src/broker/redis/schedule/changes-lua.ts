// What a script of the schedule reads and changes, in Lua: hashes and zsets are read once, and their changes are
// written together at the end, because a call of Redis from Lua costs several times what it does. Follows
// PARTITION_LUA. Keys that are changed here are read here only: Redis has the changes when `write_changes` has run.
//
//   fetch(key, fields)            reads fields of a hash in one call
//   hget(key, field)              the value, or false
//   hset(key, field, value)       false deletes
//   first_of(zset)                the member with the least score and that score; nil and math.huge if it is empty
//   put(zset, score, member), take_out(zset, member)
//   take_out_all(zset)            returns the members
//   score_of(zset, member)        false if it is not there
//   write_changes()

/** Values in one call: an even number, and less than Lua can unpack. */
const VALUES_MAX = 1000;
/** The members of a zset that the first call reads. Each further call reads twice as many, up to VALUES_MAX. */
const FIRST_MEMBERS = 2;

export const CHANGES_LUA = `
local function exact(number)
  if number % 1 == 0 and number > -9e15 and number < 9e15 then return string.format('%d', number) end
  return string.format('%.17g', number)
end

local function call_in_parts(command, key, values)
  for i = 1, #values, ${VALUES_MAX} do redis.call(command, key, unpack(values, i, math.min(#values, i + ${VALUES_MAX - 1}))) end
end

-- By key, field → value or false: as it is now, and what has changed.
local hashes, set = {}, {}

local function hash_at(key)
  local fields = hashes[key]
  if not fields then
    fields = {}
    hashes[key], set[key] = fields, {}
  end
  return fields
end

local function fetch(key, wanted)
  local fields, unread = hash_at(key), {}
  for _, field in ipairs(wanted) do
    if fields[field] == nil then
      fields[field] = false
      unread[#unread + 1] = field
    end
  end
  for i = 1, #unread, ${VALUES_MAX} do
    local values = redis.call('HMGET', key, unpack(unread, i, math.min(#unread, i + ${VALUES_MAX - 1})))
    for n, value in ipairs(values) do fields[unread[i + n - 1]] = value end
  end
end

local function hget(key, field)
  local fields = hash_at(key)
  if fields[field] == nil then fields[field] = redis.call('HGET', key, field) end
  return fields[field]
end

local function hset(key, field, value)
  hash_at(key)[field] = value
  set[key][field] = value
end

-- By key: 'stored', the first members and scores in Redis, of which those before 'at' have changed; whether these are
-- all; 'changed', member → score or false; and the changed ones that have a score, in their order.
local zsets = {}

local function zset_at(zset)
  local z = zsets[zset]
  if not z then
    z = {stored = {}, at = 1, isWhole = false, count = ${FIRST_MEMBERS}, changed = {}, scores = {}, members = {}}
    zsets[zset] = z
  end
  return z
end

local function read_more(zset, z)
  local from = #z.stored / 2
  local more = redis.call('ZRANGE', zset, from, from + z.count - 1, 'WITHSCORES')
  for _, one in ipairs(more) do z.stored[#z.stored + 1] = one end
  z.isWhole = #more < 2 * z.count
  z.count = math.min(${VALUES_MAX}, 2 * z.count)
end

-- The place of a changed member among those that have a score.
local function place_of(z, score, member)
  local low, high = 1, #z.scores + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local there = z.scores[middle]
    if there < score or there == score and z.members[middle] < member then low = middle + 1 else high = middle end
  end
  return low
end

local function first_of(zset)
  local z = zset_at(zset)
  local stored = z.stored[z.at]
  while stored and z.changed[stored] ~= nil or not stored and not z.isWhole do
    if stored then z.at = z.at + 2 else read_more(zset, z) end
    stored = z.stored[z.at]
  end
  local score = stored and tonumber(z.stored[z.at + 1]) or math.huge
  local own, member = z.scores[1], z.members[1]
  if own and (not stored or own < score or own == score and member < stored) then return member, own end
  return stored, score
end

local function unplace(z, member)
  local score = z.changed[member]
  if not score then return end
  local place = place_of(z, score, member)
  table.remove(z.scores, place)
  table.remove(z.members, place)
end

local function put(zset, score, member)
  local z = zset_at(zset)
  unplace(z, member)
  z.changed[member] = score
  local place = place_of(z, score, member)
  table.insert(z.scores, place, score)
  table.insert(z.members, place, member)
end

local function take_out(zset, member)
  local z = zset_at(zset)
  unplace(z, member)
  z.changed[member] = false
end

local function take_out_all(zset)
  local z, found = zset_at(zset), {}
  while not z.isWhole do read_more(zset, z) end
  for i = z.at, #z.stored, 2 do
    if z.changed[z.stored[i]] == nil then found[#found + 1] = z.stored[i] end
  end
  for _, member in ipairs(z.members) do found[#found + 1] = member end
  for _, member in ipairs(found) do z.changed[member] = false end
  z.scores, z.members = {}, {}
  return found
end

local function score_of(zset, member)
  local score = zset_at(zset).changed[member]
  if score == nil then score = tonumber(redis.call('ZSCORE', zset, member) or nil) end
  return score or false
end

local function write_changes()
  for key, fields in pairs(set) do
    local values, gone = {}, {}
    for field, value in pairs(fields) do
      if value then
        values[#values + 1] = field
        values[#values + 1] = value
      else gone[#gone + 1] = field end
    end
    call_in_parts('HDEL', key, gone)
    call_in_parts('HSET', key, values)
    set[key] = {}
  end
  for zset, z in pairs(zsets) do
    local values, gone = {}, {}
    for member, score in pairs(z.changed) do
      if score then
        values[#values + 1] = exact(score)
        values[#values + 1] = member
      else gone[#gone + 1] = member end
    end
    call_in_parts('ZREM', zset, gone)
    call_in_parts('ZADD', zset, values)
  end
  zsets = {}
end
`;
