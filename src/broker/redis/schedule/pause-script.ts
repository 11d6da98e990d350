// The script that sets which groups and flows are paused, and what a step needs to know of that. A flow that is paused
// is left out of the order as one that waits for a limit is (flow-lua.ts).
//
//   G:z   hash: name of a paused group or flow (`PausedAs` in flow-policy.ts) → 1
//   G:zv  the version of the list
//   G:zw  set: groups with a flow that was left out because it is paused
import { redisScript } from '../connection/redis-commands.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';

/** Follows GATE_LUA. ARGV[4] = the name of the group, ARGV[5] = what precedes the path in the name of a flow, or ''
 *  where its flows cannot be paused. */
export const PAUSED_LUA = `
local has_paused = redis.call('EXISTS', part .. ':z') == 1
local paused_names = {}

local function is_paused(s)
  if not has_paused then return false end
  local name = s.id == '' and ARGV[4] or ARGV[5] .. string.sub(s.id, 1, -2)
  if name == '' or s.id ~= '' and ARGV[5] == '' then return false end
  if paused_names[name] == nil then paused_names[name] = redis.call('HEXISTS', part .. ':z', name) == 1 end
  return paused_names[name]
end
`;

/**
 *   KEYS[1] = G   ARGV[1] the time (partition-lua.ts)   ARGV[2] ''   ARGV[3] version   ARGV[4…] names of what is paused
 *   → the version and the names of the list that holds now: a list of the same or a higher version stays
 */
export const PAUSE = redisScript(
  'pause',
  `${PARTITION_LUA}
local held = redis.call('GET', part .. ':zv')
if held and tonumber(ARGV[3]) <= tonumber(held) then return {held, unpack(redis.call('HKEYS', part .. ':z'))} end
redis.call('DEL', part .. ':z')
for i = 4, #ARGV do redis.call('HSET', part .. ':z', ARGV[i], 1) end
redis.call('SET', part .. ':zv', ARGV[3])
-- Each group looks at once at all flows that it has left out, and leaves those out again that are still paused or
-- limited.
for _, group in ipairs(redis.call('SMEMBERS', part .. ':zw')) do
  local parked = part .. ':g:' .. group .. ':p'
  for _, member in ipairs(redis.call('ZRANGE', parked, 0, -1)) do redis.call('ZADD', parked, 0, member) end
  redis.call('SPUBLISH', part .. ':w', 'gate ' .. group .. ' 0')
end
redis.call('DEL', part .. ':zw')
return {unpack(ARGV, 3)}
`,
  { isPromised: true, allowsFull: true },
);
