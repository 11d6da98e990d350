// The script that removes a topic.
//   ARGV  time, keeps (see append.ts), topic
// Returns 1, or 0 if there was no such topic.
import type { LiteTopicName } from '../../lite-topic.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { TOPIC_LUA } from './topic-lua.ts';

export const REMOVE = redisScript(
  'remove',
  `${TOPIC_LUA}
hl_look(ARGV[2] == '1')
local t = hl_topic(ARGV[3])
if not t then return 0 end
hl_end(t, 'removed')
return 1
`,
  { isPromised: true, allowsFull: true },
);

export function encodeRemove(topic: LiteTopicName, isKept: boolean): string[] {
  return [isKept ? '1' : '0', topic];
}

export function decodeRemove(reply: RedisReply): boolean {
  return reply === 1;
}
