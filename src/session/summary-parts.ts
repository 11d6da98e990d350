// The parts of a chat's summary that are made of its topic and its state. Pure.
import { TTL_MS_MAX, type TopicInfo } from '../broker/broker.ts';
import { encodePosition } from '../broker/position.ts';
import type { CommandState } from './commands/command-state.ts';
import { openInputs } from './commands/decisions.ts';
import { idOf, type SessionRef } from './session-ref.ts';
import type { SessionSummary } from './session-summary.ts';

/** A chat that does not expire has the longest TTL. A hard maximum brings the expiry nearer to the last activity than
 *  the TTL, but never before the creation. */
export function lifetimeOf(
  { expiresAt = 0, ttlMs = 0, endsAt }: TopicInfo,
  createdAt: string,
): Pick<SessionSummary, 'lastActiveAt' | 'expiresAt'> {
  const lastActiveAt = new Date(Math.max(expiresAt - ttlMs, Date.parse(createdAt))).toISOString();
  return ttlMs === TTL_MS_MAX && endsAt === undefined
    ? { lastActiveAt }
    : { lastActiveAt, expiresAt: new Date(expiresAt).toISOString() };
}

export function damagedSummary(ref: SessionRef, info: TopicInfo, { isUnlisted }: CommandState): SessionSummary {
  const { epoch, next, earliest } = info;
  const lifetime = lifetimeOf(info, new Date(0).toISOString());
  return {
    sessionId: idOf(ref),
    createdAt: lifetime.lastActiveAt,
    ...lifetime,
    position: encodePosition({ epoch, offset: Math.max(0, next - 1) }),
    earliest: encodePosition({ epoch, offset: earliest }),
    ...(isUnlisted === true ? { isListed: false } : {}),
    queued: 0,
    messages: 0,
    damaged: true,
  };
}

export function activeRun(state: CommandState, epoch: string): SessionSummary['activeRun'] {
  const [head] = state.runs;
  if (head === undefined) return undefined;
  const inputs = head.state === 'waiting' ? { inputs: openInputs(head).map(({ inputId }) => inputId) } : {};
  return {
    runId: head.runId,
    position: encodePosition({ epoch, offset: head.queuedAt }),
    state: head.state,
    ...inputs,
  };
}
