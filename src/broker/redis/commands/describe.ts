// The script that describes topics of one partition.
//   ARGV  time, names of topics
// Returns a line for each name (hl_info), '' if there is no such topic.
import type { TopicInfo } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { TOPIC_LUA } from './topic-lua.ts';

/** The most names in one call, which bounds how long the script runs. */
export const DESCRIBE_MAX = 256;

export const DESCRIBE = redisScript(
  'describe',
  `${TOPIC_LUA}
hl_see()
local lines = {}
for i = 2, #ARGV do
  local t = hl_topic(ARGV[i])
  lines[i - 1] = t and hl_info(t) or ''
end
return lines
`,
);

/** Like DESCRIBE, but the reply counts only when the replicas have everything that was written before. WAIT covers
 *  every write of the server up to the last command of the connection, no matter which connection sent the write. */
export const DESCRIBE_DURABLE = { ...DESCRIBE, isPromised: true };

/** In the order of the names. @throws BrokerError corrupt */
export function decodeDescribe(
  topics: readonly LiteTopicName[],
  reply: RedisReply,
): readonly (TopicInfo | undefined)[] {
  if (!Array.isArray(reply)) throw wrongReply('describe');
  return topics.map((topic, i) => decodeInfo(topic, (reply as readonly unknown[])[i]));
}

/** Undefined for '': there is no such topic. @throws BrokerError corrupt */
export function decodeInfo(topic: LiteTopicName, line: unknown): TopicInfo | undefined {
  if (line === '') return undefined;
  const [epoch, next, lastMajor, fence, bytes, ttl, expires] = typeof line === 'string' ? line.split(' ') : [];
  if (epoch === undefined || expires === undefined) throw wrongReply('describe');
  const info = {
    topic,
    epoch,
    earliest: 0,
    next: Number(next),
    lastMajor: Number(lastMajor),
    fence: Number(fence),
    bytes: Number(bytes),
  };
  return expires === '-' ? info : { ...info, ttlMs: Number(ttl), expiresAt: Number(expires) };
}
