// Presence: whether somebody watches a chat, known to all nodes. A node that streams the chat touches a topic that soon
// expires. The worker of the run checks whether the topic was touched since the last check. So no two clocks are
// compared.
import type { Broker } from '../../broker/broker.ts';
import type { SessionRef } from '../session-ref.ts';
import { watchTopic } from '../topic-names.ts';

/** Interval of the touches and of the checks. */
export const PRESENCE_MS = 5_000;
/** Longer than touches may be late; after that the topic is gone. */
const PRESENCE_TTL_MS = 60_000;

/** Only for chats with a run that ends when nobody watches it. */
export async function touchPresence(broker: Broker, ref: SessionRef): Promise<void> {
  await broker.append([{ topic: watchTopic(ref), records: [], expect: { create: true }, ttlMs: PRESENCE_TTL_MS }]);
}

/** For each chat a value that every touch changes; undefined if no node has touched it lately. */
export async function readPresence(
  broker: Broker,
  refs: readonly SessionRef[],
): Promise<readonly (string | undefined)[]> {
  const infos = await broker.describe(refs.map(watchTopic));
  return infos.map((info) => (info === undefined ? undefined : `${info.epoch}.${info.expiresAt ?? 0}`));
}

/** `idleMs`: since the last check that found a touch. The last touch may be one interval before a reader left, and the
 *  first one interval after it came back, so two intervals are added. */
export function isUnwatched(idleMs: number, unwatchedMs: number): boolean {
  return idleMs >= unwatchedMs + 2 * PRESENCE_MS;
}
