// How long a chat lives from an append on. Pure.
import { DELAY_MS_MAX } from '../../broker/broker.ts';
import type { CommandState } from './command-state.ts';

/** The least TTL of a chat with a run that has not ended, also if the chat's own TTL is shorter. */
export const PENDING_RUN_TTL_MS = 7 * 24 * 60 * 60 * 1000;
/** The same of a chat with a run that waits: no wait is longer than a delay of the broker. */
export const WAITING_RUN_TTL_MS = DELAY_MS_MAX + PENDING_RUN_TTL_MS;

/** A run that is queued, waiting or silent writes nothing, so its chat must not expire in the meantime. */
export function topicTtl(state: CommandState): number {
  if (state.runs.some((run) => run.state === 'waiting')) return Math.max(state.ttlMs, WAITING_RUN_TTL_MS);
  return state.runs.length === 0 ? state.ttlMs : Math.max(state.ttlMs, PENDING_RUN_TTL_MS);
}
