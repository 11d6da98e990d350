// Whether somebody watches a chat, known to all nodes: whoever streams it touches a topic of it that soon expires, and
// whoever makes its answer looks whether that was touched since the last look. So no two clocks are compared.
import type { Broker } from '../../broker/broker.ts';
import type { SessionRef } from '../session-ref.ts';
import { watchTopic } from '../topic-names.ts';

/** How often it is touched, and looked at. */
export const PRESENCE_MS = 5_000;
/** Longer than touches may be late; afterwards nothing is left of it. */
const PRESENCE_TTL_MS = 60_000;

/** Only for chats with a run that is ended when nobody watches it. */
export async function touchPresence(broker: Broker, ref: SessionRef): Promise<void> {
  await broker.append([{ topic: watchTopic(ref), records: [], expect: { create: true }, ttlMs: PRESENCE_TTL_MS }]);
}

/** For each a mark that every touch changes; undefined where nobody has touched it lately. */
export async function readPresence(
  broker: Broker,
  refs: readonly SessionRef[],
): Promise<readonly (string | undefined)[]> {
  const infos = await broker.describe(refs.map(watchTopic));
  return infos.map((info) => (info === undefined ? undefined : `${info.epoch}.${info.expiresAt ?? 0}`));
}

/** `idleMs`: since the last look that found a touch. A reader who is away for less than `unwatchedMs` may have been seen
 *  last one touch before it left, and be seen again one after it came back. */
export function isUnwatched(idleMs: number, unwatchedMs: number): boolean {
  return idleMs >= unwatchedMs + 2 * PRESENCE_MS;
}
