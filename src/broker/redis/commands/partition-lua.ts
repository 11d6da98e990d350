// The beginning of every script: the partition and the time. Scripts run with
//   KEYS[1]  P, the partition's tag (there is no key of this name)
//   ARGV[1]  '': the server's clock. '<ms>': this time (since 1970), for tests only, so that all nodes use one clock.
//            '~<ms>': the server's clock, and the node's estimate of the time by which chats end (server-clock.ts).
//            Optionally a space and the replication id of the live master that gave this partition away.
// While a slot is moved, its keys are on two servers, and a script must not change half of a topic. Because there is no
// key P, the server that gives the slot away answers every script with a redirection (ASK), and this engine follows
// none. So a partition is unavailable while it moves, and complete before and after.
import { CLOCK_JUMP_MS } from '../../clock-guard.ts';

/** Defines for scripts: part, now, now_micros (nil unless the server's clock decides), lifetime_now (the time by which
 *  topics end, which is the node's estimate if the server's clock has jumped), vouched (for hl_look in
 *  topic-lua.ts). */
export const PARTITION_LUA = `
local part = KEYS[1]
local now, vouched = ARGV[1], nil
local space = string.find(now, ' ', 1, true)
if space then
  vouched = string.sub(now, space + 1)
  now = string.sub(now, 1, space - 1)
end
local lifetime_now, now_micros
if now == '' or string.sub(now, 1, 1) == '~' then
  local estimate = tonumber(string.sub(now, 2))
  local time = redis.call('TIME')
  now_micros = time[1] * 1000000 + time[2]
  now = math.floor(now_micros / 1000)
  lifetime_now = now
  if estimate and math.abs(now - estimate) > ${CLOCK_JUMP_MS} then lifetime_now = estimate end
else
  now = tonumber(now)
  lifetime_now = now
end
`;
