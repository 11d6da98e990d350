// The script that removes a topic.
//   ARGV  time, keeps (see append.ts), topic, and epoch and offset of ifUnchanged, if there is one
// Returns 1, 0 if there was no such topic, or the code of the refusal.
import { BrokerError } from '../../errors.ts';
import type { Position } from '../../position.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { TOPIC_LUA } from './topic-lua.ts';

export const REMOVE = redisScript(
  'remove',
  `${TOPIC_LUA}
hl_look(ARGV[2] == '1')
local t = hl_topic(ARGV[3])
if not t then return 0 end
if ARGV[4] and t.epoch ~= ARGV[4] then return 'epoch-changed' end
if ARGV[4] and t.major > tonumber(ARGV[5]) then return 'conflict' end
hl_end(t, 'removed')
return 1
`,
  { isPromised: true, allowsFull: true },
);

export function encodeRemove(topic: LiteTopicName, isKept: boolean, ifUnchanged: Position | undefined): string[] {
  const condition = ifUnchanged === undefined ? [] : [ifUnchanged.epoch, `${ifUnchanged.offset}`];
  return [isKept ? '1' : '0', topic, ...condition];
}

/** @throws BrokerError epoch-changed, conflict */
export function decodeRemove(reply: RedisReply): boolean {
  if (reply === 'epoch-changed') throw new BrokerError(reply, 'the topic is not in the epoch of ifUnchanged');
  if (reply === 'conflict') throw new BrokerError(reply, 'a major record stands behind ifUnchanged');
  return reply === 1;
}
