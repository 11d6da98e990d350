// What stands at the top of every script: whose partition, and what time it is. Scripts run with
//   KEYS[1]  P, the partition's tag (no key stands there)
//   ARGV[1]  ms since 1970, or '' for the server's own clock. Tests give it; nodes do not, so that there is one clock.
//            '~<ms>': the server's own clock, and the node's estimate of the time by which chats end (server-clock.ts).
//            Behind a space, where there is one: the replication id of the live master that gave this partition away.
// A slot that is being moved has a part of its keys here and a part there, and a script may not change half of a topic.
// As no key stands at P, a server that is giving the slot away sends every script on (ASK), and nobody here follows: so
// a partition is unavailable while it moves, and whole before and after.
import { CLOCK_JUMP_MS } from '../../clock-guard.ts';

/** Gives scripts: part, now, lifetime_now (by which topics end: not the server's clock where that has jumped), vouched
 *  (for hl_look in topic-lua.ts). */
export const PARTITION_LUA = `
local part = KEYS[1]
local now, vouched = ARGV[1], nil
local space = string.find(now, ' ', 1, true)
if space then
  vouched = string.sub(now, space + 1)
  now = string.sub(now, 1, space - 1)
end
local lifetime_now
if now == '' or string.sub(now, 1, 1) == '~' then
  local estimate = tonumber(string.sub(now, 2))
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  lifetime_now = now
  if estimate and math.abs(now - estimate) > ${CLOCK_JUMP_MS} then lifetime_now = estimate end
else
  now = tonumber(now)
  lifetime_now = now
end
`;
