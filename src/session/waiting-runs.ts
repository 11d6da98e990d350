// How many runs wait for a worker, by agent and priority: those of users and those that runs have asked for. Of each
// chat only the first run waits for a worker; the others wait for that one.
import type { GroupBroker, WaitingCounts } from '../broker/broker.ts';
import { ASK_DEPTH_MAX } from './subagent-session.ts';
import { requestGroup } from './topic-names.ts';

/** For each agent the queues of users and of each depth of asks. */
const QUEUES = ASK_DEPTH_MAX + 1;
/** An engine has no more queues than those of so many agents. */
const AGENTS_MAX = 64;

/** Of at most AGENTS_MAX agents. @throws BrokerError unavailable, closed */
export async function countWaitingRuns(
  broker: Pick<GroupBroker, 'countWaiting'>,
  agents: readonly string[],
): Promise<ReadonlyMap<string, WaitingCounts>> {
  const counted = agents.slice(0, AGENTS_MAX);
  const counts = await broker.countWaiting(
    counted.flatMap((agent) => Array.from({ length: QUEUES }, (_, depth) => requestGroup(agent, depth))),
  );
  return new Map(counted.map((agent, i) => [agent, counts.slice(QUEUES * i, QUEUES * (i + 1)).reduce(sumOf)] as const));
}

function sumOf(one: WaitingCounts, other: WaitingCounts): WaitingCounts {
  return { high: one.high + other.high, normal: one.normal + other.normal, low: one.low + other.low };
}
