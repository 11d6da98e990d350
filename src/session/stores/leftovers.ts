// Removes what a removed chat leaves besides its log: its request topics with their dead letters, and the subagent
// sessions of its runs.
import { APPEND_WRITES_MAX, TTL_MS_MIN, type Broker, type TopicInfo, type TopicWrite } from '../../broker/broker.ts';
import type { Position } from '../../broker/position.ts';
import { routingKey } from '../../broker/append-rules.ts';
import { removeDeadLetters } from '../../broker/dead-letters.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { isDamage } from '../commands/earlier-state.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { CommandLog } from '../commands/command-log.ts';
import type { CommandState } from '../commands/command-state.ts';
import type { SessionRef } from '../session-ref.ts';
import {
  SUBAGENT_PATTERN,
  chatTopic,
  requestGroupOf,
  requestTopic,
  sessionOf,
  subagentPrefix,
  waitExpiryTopic,
} from '../topic-names.ts';

/** TTL of a request topic whose requests are consumed. Long enough that most answers to an answer find the topic and
 *  need not make it again; short enough that an idle chat has no such topic. The engine keeps the topic, whatever its
 *  TTL, while it holds a request that is not consumed. */
export const CONSUMED_REQUEST_TTL_MS = 5 * 60 * 1000;
/** TTL of a chat and of its request topics from the beginning of the chat's removal: longer than a removal takes. */
export const ENDED_SOON_MS = 60 * 1000;
/** Asks that are removed with one chat. Further asks expire by themselves, at most a day later. */
export const ASKS_REMOVED_MAX = 4096;
const PAGE_ASKS = 64;

/** The subagent sessions of a user's session, at all depths. */
export async function findAsks(broker: Broker, ref: SessionRef): Promise<readonly SessionRef[]> {
  const before = subagentPrefix(ref);
  const asks: SessionRef[] = [];
  for (let after = before; asks.length < ASKS_REMOVED_MAX;) {
    const { topics, after: next } = await broker.list(SUBAGENT_PATTERN, { after, limit: PAGE_ASKS });
    const own = topics.filter(({ topic }) => topic.startsWith(before));
    for (const { topic } of own) asks.push(sessionOf(topic));
    if (next?.startsWith(before) !== true || own.length < topics.length) break;
    after = next;
  }
  return asks;
}

/** Removes these subagent sessions, and lets their request topics expire. */
export async function removeAsks(
  broker: Broker,
  log: CommandLog,
  asks: readonly SessionRef[],
  topicOf: (ref: SessionRef) => LiteTopicName,
): Promise<void> {
  for (const ask of asks) {
    const state = await readableState(log, ask);
    await broker.remove(topicOf(ask));
    if (state !== undefined) await expireRequests(broker, ask, state);
  }
}

/** A damaged ask must not keep the others from being removed. */
async function readableState(log: CommandLog, ref: SessionRef): Promise<CommandState | undefined> {
  try {
    return (await log.load(ref))?.state;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return (await log.findEarlier(ref))?.state;
  }
}

/** Removes the dead letters of a removed chat, and lets its request topics expire. Those are not removed, because a
 *  topic may already hold a request of a new chat with the same id; the engine keeps a topic while it holds a request
 *  that no worker has taken. */
export async function expireRequests(broker: Broker, ref: SessionRef, state: CommandState): Promise<void> {
  const requests = requestsOf(ref, state);
  const infos = await broker.describe(requests);
  for (const info of infos) if (info !== undefined) await expireAfter(broker, info.topic, info.epoch, TTL_MS_MIN);
  for (const agent of agentsOf(state))
    await removeDeadLetters(broker, requestGroupOf(agent, ref), routingKey(chatTopic(ref)));
}

/** Removes the records that would end the waits of a removed chat's runs. A run id is never used again. */
export async function removeExpiries(broker: Broker, ref: SessionRef, { runs }: CommandState): Promise<void> {
  for (const { runId, leg = 0, state } of runs)
    if (state === 'waiting') await broker.remove(waitExpiryTopic(ref, runId, leg));
}

/** Gives a chat and its request topics a short TTL before the chat is removed. A removal that is repeated after the
 *  chat is gone cannot find the request topics, so they must end without it. The chat is in the same append, because a
 *  chat that stays must not lose the request of its run. @throws BrokerError conflict: the chat is not as in
 *  `ifUnchanged`. A prompt that comes later gives the chat and its requests a long TTL again. */
export async function endSoon(
  broker: Broker,
  ref: SessionRef,
  state: CommandState,
  ifUnchanged: Position | undefined,
): Promise<void> {
  const [chat, ...requests] = await broker.describe([chatTopic(ref), ...requestsOf(ref, state)]);
  if (chat === undefined) return;
  const found = requests.filter((info) => info !== undefined);
  const ended = { ...chat, ...(ifUnchanged && { ifUnchanged }) };
  // Each append takes one write for the chat.
  const size = APPEND_WRITES_MAX - 1;
  for (let from = 0; from < found.length; from += size)
    await setTtl(broker, [ended, ...found.slice(from, from + size)], ENDED_SOON_MS);
}

function requestsOf(ref: SessionRef, state: CommandState): readonly LiteTopicName[] {
  return agentsOf(state).map((agent) => requestTopic(agent, ref));
}

function agentsOf({ agents = [], runs }: CommandState): readonly string[] {
  return [...new Set([...agents, ...runs.map(({ agent }) => agent)])];
}

/** Sets another TTL of a topic, if it is still in that epoch. It adds no record and may use the reserve of a full
 *  storage, because the end of a topic frees space. */
export async function expireAfter(broker: Broker, topic: LiteTopicName, epoch: string, ttlMs: number): Promise<void> {
  await setTtl(broker, [{ topic, epoch }], ttlMs);
}

async function setTtl(
  broker: Broker,
  topics: readonly Pick<TopicWrite & TopicInfo, 'topic' | 'epoch' | 'ifUnchanged'>[],
  ttlMs: number,
): Promise<void> {
  try {
    await broker.append(
      // From now on, whatever the TTL of the topic counted from before.
      topics.map(({ topic, epoch, ifUnchanged }) => ({
        ...{ topic, records: [], expect: { epoch }, mayUseReserve: true },
        ...{ ttlMs, ttlMode: 'idle' },
        ...(ifUnchanged && { ifUnchanged }),
      })),
    );
  } catch (error) {
    if (!isBrokerError(error, 'epoch-changed')) throw error;
  }
}
