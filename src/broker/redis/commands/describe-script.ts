// Describing topics of one partition.
//   ARGV  time, names of topics
// Answers a line for each (hl_info), '' where there is no such topic.
import { redisScript } from '../connection/redis-commands.ts';
import { TOPIC_LUA } from './topic-lua.ts';

/** Names in one call: what one script may be busy with. */
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

/** The same, answered when the replicas have all that was written before: what a connection waits for with WAIT is what
 *  the server had written by that connection's last command, whoever wrote it. */
export const DESCRIBE_DURABLE = { ...DESCRIBE, isPromised: true };
