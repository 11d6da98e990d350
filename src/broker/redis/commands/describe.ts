// The script that describes topics of one partition.
//   ARGV  time, names of topics
// Returns a line for each name (hl_info), '' if there is no such topic.
import type { TopicInfo } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { META } from '../keys.ts';
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

/** The most by which a look at a topic with readers may be late: a periodic look, its jitter, and a slow answer. */
export const LOOK_LATE_MS = 25_000;
/** A look extends a topic by this part of its TTL more than it must, so that not every look writes. */
const EXTENDED_PART = 8;

/** Like DESCRIBE, for topics that have readers on this node: those whose readers keep them begin their TTL again. */
export const DESCRIBE_WATCHED = redisScript(
  'describe-watched',
  `${TOPIC_LUA}
hl_see()
local lines = {}
for i = 2, #ARGV do
  local t = hl_topic(ARGV[i])
  if t and t.mode == 'r' and t.expires then
    local least = hl_expiry(t) + ${LOOK_LATE_MS}
    if t.expires < least and t.expires ~= t.ends then
      t.expires = least + math.floor(tonumber(t.ttl) / ${EXTENDED_PART})
      if t.ends and t.ends < t.expires then t.expires = t.ends end
      redis.call('HSET', t.key, '${META.expiresAt}', string.format('%.0f', t.expires))
    end
  end
  lines[i - 1] = t and hl_info(t) or ''
end
return lines
`,
  { allowsFull: true },
);

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
  const [epoch, next, lastMajor, fence, bytes, ttl, expires, mode, ends] =
    typeof line === 'string' ? line.split(' ') : [];
  if (epoch === undefined || ends === undefined) throw wrongReply('describe');
  const info = {
    topic,
    epoch,
    earliest: 0,
    next: Number(next),
    lastMajor: Number(lastMajor),
    fence: Number(fence),
    bytes: Number(bytes),
  };
  return {
    ...info,
    ...(ttl === '-' ? {} : { ttlMs: Number(ttl) }),
    ...(expires === '-' ? {} : { expiresAt: Number(expires) }),
    ...(mode === 'r' ? { ttlMode: 'reader' } : mode === 'a' ? { ttlMode: 'absolute' } : {}),
    ...(ends === '-' ? {} : { endsAt: Number(ends) }),
  };
}
