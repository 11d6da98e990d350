// What a chat leaves beside its log: the topics of its requests, and the chats in which its runs asked other agents.
import type { Broker } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { CommandLog } from '../commands/command-log.ts';
import type { CommandState } from '../commands/command-state.ts';
import type { SessionRef } from '../session-ref.ts';
import { SUBAGENT_PATTERN, subagentPrefix, requestTopic, sessionOf } from '../topic-names.ts';

/** The least that a topic can be given. */
export const AT_ONCE_MS = 1;
/** Asks that are removed with one chat. What a chat has more of is removed when its own time is over, a day later at most. */
export const ASKS_REMOVED_MAX = 4096;
const PAGE_ASKS = 64;

/** Asks of the runs of a session of a user, asks of asks included. */
export async function findAsks(broker: Broker, ref: SessionRef): Promise<readonly SessionRef[]> {
  const before = subagentPrefix(ref);
  const asks: SessionRef[] = [];
  for (let after = before; asks.length < ASKS_REMOVED_MAX;) {
    const { topics, after: next } = await broker.list(SUBAGENT_PATTERN, { after, limit: PAGE_ASKS });
    const own = topics.filter(({ topic }) => topic.startsWith(before));
    for (const { topic } of own) asks.push(sessionOf(topic));
    if (next === undefined || own.length < topics.length) break;
    after = next;
  }
  return asks;
}

/** Removes the chats of these asks, and lets their requests go. */
export async function removeAsks(
  broker: Broker,
  log: CommandLog,
  asks: readonly SessionRef[],
  topicOf: (ref: SessionRef) => LiteTopicName,
): Promise<void> {
  for (const ask of asks) {
    const loaded = await log.load(ask);
    await broker.remove(topicOf(ask));
    if (loaded !== undefined) await expireRequests(broker, ask, loaded.state);
  }
}

/** The requests of a chat that is no more. They are not removed but expire: a topic with a request that no worker has taken
 *  yet stays, and that may be one of a chat that was begun anew under the same id. */
export async function expireRequests(
  broker: Broker,
  ref: SessionRef,
  { agents = [], runs }: CommandState,
): Promise<void> {
  const names = new Set([...agents, ...runs.map(({ agent }) => agent)]);
  const infos = await broker.describe([...names].map((agent) => requestTopic(agent, ref)));
  for (const info of infos) if (info !== undefined) await expireAfter(broker, info.topic, info.epoch, AT_ONCE_MS);
}

/** Gives a topic another time to live, if it is still in that epoch. It adds no record, so a full storage takes it: the end
 *  of a topic makes room. */
export async function expireAfter(broker: Broker, topic: LiteTopicName, epoch: string, ttlMs: number): Promise<void> {
  try {
    await broker.append([{ topic, records: [], expect: { epoch }, ttlMs, mayUseReserve: true }]);
  } catch (error) {
    if (!isBrokerError(error, 'epoch-changed')) throw error;
  }
}
