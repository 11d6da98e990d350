// How a checkpoint holds the recent messages, which are its bulk. Only some checkpoints hold all of them: the next ones
// name that one and hold what came since. Pure.
import type { RecentMessage } from './command-state.ts';

/** Messages that a checkpoint adds to those of an earlier one, at most. With more, a new checkpoint holds all. 0 where
 *  nodes of version 0.1 may read the chats too: they ignore what was added, and would take a prompt that is sent again
 *  for another one. */
export const RECENT_ADDED_MAX = 8;

/** The recent messages as the checkpoint at an offset holds them. */
export interface RecentBase {
  readonly at: number;
  readonly recent: readonly RecentMessage[];
}

/** The messages that came since. Undefined if a checkpoint has to hold all of them, as with more than `max`. */
export function addedSince(
  base: RecentBase | undefined,
  recent: readonly RecentMessage[],
  max = RECENT_ADDED_MAX,
): readonly RecentMessage[] | undefined {
  if (base === undefined) return undefined;
  const last = base.recent.at(-1);
  const added = recent.slice(last === undefined ? 0 : recent.findLastIndex((one) => isSame(one, last)) + 1);
  if (added.length > max) return undefined;
  const whole = withAdded(base.recent, added, recent.length);
  return whole.length === recent.length && whole.every((one, i) => isSame(one, recent[i])) ? added : undefined;
}

/** The newest `max` messages. */
export function withAdded(
  recent: readonly RecentMessage[],
  added: readonly RecentMessage[],
  max: number,
): readonly RecentMessage[] {
  return max === 0 ? [] : [...recent, ...added].slice(-max);
}

function isSame(one: RecentMessage, other: RecentMessage | undefined): boolean {
  return one === other || (one.runId === other?.runId && one.messageId === other.messageId);
}
