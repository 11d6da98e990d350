// How many topics wait before another in a group's queue, summed over the partitions. Each is asked at a moment of its
// own, so the sum is of a queue that moves: good enough to be told to who waits, and for nothing else. Reads only.
import type { LiteTopicName } from '../../lite-topic.ts';
import { PARTITION_LUA } from '../commands/partition-lua.ts';
import type { RedisCommands, RedisReply } from '../connection/redis-commands.ts';
import { redisScript } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { QUEUE_LUA } from '../commands/queue-lua.ts';

/**
 * Where topics of this partition wait.
 *   ARGV[2] group   ARGV[3…] topics
 *   → class, turn, class, turn, … with '' twice for one that does not wait
 */
const PLACES = redisScript(
  'places',
  `${PARTITION_LUA}${QUEUE_LUA}
local places = {}
for i = 3, #ARGV do
  local class, turn = '', ''
  for _, one in ipairs(hl_classes) do
    local score = redis.call('ZSCORE', hl_queue(part, ARGV[2], one), ARGV[i])
    if score then class, turn = one, score end
  end
  places[#places + 1] = class
  places[#places + 1] = turn
end
return places
`,
);

/**
 * How many topics of this partition wait before each of these places.
 *   ARGV[2] group   ARGV[3…] class, turn, class, turn, …
 *   → counts
 */
const BEFORE = redisScript(
  'before',
  `${PARTITION_LUA}${QUEUE_LUA}
local counts = {}
for i = 3, #ARGV, 2 do
  local count = 0
  for _, class in ipairs(hl_classes) do
    local waiting = hl_queue(part, ARGV[2], class)
    if class == ARGV[i] then
      count = count + redis.call('ZCOUNT', waiting, '-inf', '(' .. ARGV[i + 1])
      break
    end
    count = count + redis.call('ZCARD', waiting)
  end
  counts[#counts + 1] = count
end
return counts
`,
);

interface Place {
  readonly topic: LiteTopicName;
  readonly class: string;
  readonly turn: string;
}

/** For those that wait. @throws what `run` throws */
export async function countBefore(
  commands: RedisCommands,
  group: string,
  topics: readonly LiteTopicName[],
): Promise<ReadonlyMap<LiteTopicName, number>> {
  const places = await findPlaces(commands, group, topics);
  const counts = new Map(places.map(({ topic }) => [topic, 0]));
  if (places.length === 0) return counts;
  const asked = places.flatMap((place) => [place.class, place.turn]);
  const partitions = Array.from({ length: commands.keys.partitions }, (_, partition) =>
    ask(commands, BEFORE, partition, [group, ...asked]),
  );
  for (const reply of await Promise.all(partitions)) {
    for (const [i, { topic }] of places.entries()) counts.set(topic, (counts.get(topic) ?? 0) + Number(reply[i]));
  }
  return counts;
}

async function findPlaces(
  commands: RedisCommands,
  group: string,
  topics: readonly LiteTopicName[],
): Promise<readonly Place[]> {
  const byPartition = new Map<number, LiteTopicName[]>();
  for (const topic of topics) {
    const partition = commands.keys.partitionOf(topic);
    byPartition.set(partition, [...(byPartition.get(partition) ?? []), topic]);
  }
  const found = [...byPartition].map(async ([partition, there]) => {
    const reply = await ask(commands, PLACES, partition, [group, ...there]);
    return there.map((topic, i): Place => ({ topic, class: String(reply[2 * i]), turn: String(reply[2 * i + 1]) }));
  });
  return (await Promise.all(found)).flat().filter((place) => place.class !== '');
}

async function ask(
  ...[commands, script, partition, args]: [RedisCommands, ...Parameters<RedisCommands['run']>]
): Promise<readonly RedisReply[]> {
  const reply = await commands.run(script, partition, args);
  if (!Array.isArray(reply)) throw wrongReply('queue');
  return reply as readonly RedisReply[];
}
