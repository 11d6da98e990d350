// Removing a topic.
//   ARGV  time, keeps (see append-script.ts), topic
// Answers 1, or 0 where there was none.
import { redisScript } from '../connection/redis-commands.ts';
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
