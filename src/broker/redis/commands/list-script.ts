// A page of the names in one partition.
//   ARGV  time, after (a ZRANGEBYLEX bound), up to (likewise), pattern of the names wanted, how many
// Answers {name up to which it looked, or '' if it looked at all, then two for each topic: name, line (hl_info)}.
import { PARTITION_KEYS } from '../keys.ts';
import { redisScript } from '../connection/redis-commands.ts';
import { TOPIC_LUA } from './topic-lua.ts';

/** Names that one script looks at. */
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
