// The script that lists one page of the topics in a partition.
//   ARGV  time, from (a ZRANGEBYLEX bound), up to (likewise), pattern of the names, limit
// Returns {the last name examined, or '' if there are no more, then two for each topic: name, line (hl_info)}.
import type { TopicInfo } from '../../broker.ts';
import type { LiteTopicName, TopicPattern } from '../../lite-topic.ts';
import { redisScript, type RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { PARTITION_KEYS } from '../keys.ts';
import { decodeInfo } from './describe.ts';
import { TOPIC_LUA } from './topic-lua.ts';

/** The most topic names that one call of the script examines. Redis serves no other command while a script runs, so one
 *  call must not examine all names of a large partition. */
const LOOKED_AT_MAX = 1000;

export const LIST = redisScript(
  'list',
  `${TOPIC_LUA}
hl_see()
local limit = tonumber(ARGV[5])
local names = redis.call('ZRANGEBYLEX', part .. '${PARTITION_KEYS.names}', ARGV[2], ARGV[3], 'LIMIT', 0, ${LOOKED_AT_MAX})
local reply = {''}
for _, name in ipairs(names) do
  if #reply > 2 * limit then
    reply[1] = reply[#reply - 1]
    return reply
  end
  if hl_matches(ARGV[4], name) then
    local t = hl_topic(name)
    if t then
      reply[#reply + 1] = name
      reply[#reply + 1] = hl_info(t)
    end
  end
end
if #names == ${LOOKED_AT_MAX} then reply[1] = names[#names] end
return reply
`,
);

export interface ListRequest {
  /** Bounds of ZRANGEBYLEX: `[` or `(` before the name. */
  readonly from: string;
  readonly upTo: string;
  readonly pattern: TopicPattern;
  readonly limit: number;
}

export interface Listed {
  /** The last name examined; undefined if there are no more. */
  readonly after: string | undefined;
  readonly infos: readonly TopicInfo[];
}

export function encodeList({ from, upTo, pattern, limit }: ListRequest): (string | number)[] {
  return [from, upTo, pattern, limit];
}

/** @throws BrokerError corrupt */
export function decodeList(reply: RedisReply): Listed {
  if (!Array.isArray(reply) || reply.length === 0 || reply.some((part) => typeof part !== 'string'))
    throw wrongReply('list');
  const [after, ...rows] = reply as readonly string[];
  const infos: TopicInfo[] = [];
  for (let i = 0; i < rows.length; i += 2) {
    const info = decodeInfo(rows[i] as LiteTopicName, rows[i + 1]);
    if (info !== undefined) infos.push(info);
  }
  return { after: after === '' ? undefined : after, infos };
}
