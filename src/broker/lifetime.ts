// How long a topic lives, as pure functions: when it expires after a write, what may hold it beyond that time, and when
// nothing holds it any more. Every engine that decides in this process uses them; the script of the Redis engine
// (append.ts) has the same rules, and the contract suite runs on both.
import type { TopicInfo, TopicWrite, TtlMode } from './broker.ts';

/** The least TTL in the mode `reader`; a shorter one counts as this. An engine on several machines extends the life of
 *  a topic with readers from time to time, and must not be too late. */
export const READER_TTL_MIN_MS = 60_000;

/** What a topic has besides a plain TTL. Undefined: the TTL counts from the last write, and there is no hard
 *  maximum. */
export interface TopicLife {
  readonly mode: TtlMode;
  /** ms since 1970: when the topic was made, or got its first mode. The mode `absolute` counts from here. */
  readonly bornAt: number;
  /** ms since 1970: the end that nothing delays. Undefined for none. */
  readonly endsAt: number | undefined;
}

/** `before`: undefined for a topic that the write makes, and for one with a plain TTL. */
export function lifeAfter(
  before: TopicLife | undefined,
  { ttlMode, hardMaxMs }: Pick<TopicWrite, 'ttlMode' | 'hardMaxMs'>,
  isNew: boolean,
  now: number,
): TopicLife | undefined {
  const endsIn = isNew ? hardMaxMs : undefined;
  if (endsIn === undefined && (ttlMode === undefined || ttlMode === (before?.mode ?? 'idle'))) return before;
  const endsAt = endsIn === undefined ? before?.endsAt : now + endsIn;
  return { mode: ttlMode ?? 'idle', bornAt: before?.bornAt ?? now, endsAt };
}

/** When the topic expires after a write at `now`, or after a reader that left at `now`; ms since 1970. Undefined:
 *  never. */
export function expiryAfter(life: TopicLife | undefined, ttlMs: number | undefined, now: number): number | undefined {
  if (life === undefined) return ttlMs === undefined ? undefined : now + ttlMs;
  const { mode, bornAt, endsAt } = life;
  if (ttlMs === undefined) return endsAt;
  const at = mode === 'absolute' ? bornAt + ttlMs : now + (mode === 'reader' ? readerTtl(ttlMs) : ttlMs);
  return endsAt === undefined ? at : Math.min(at, endsAt);
}

export function readerTtl(ttlMs: number): number {
  return Math.max(ttlMs, READER_TTL_MIN_MS);
}

/** The part of a topic's description that says how long it lives. */
export function lifetimeOf(
  ttlMs: number | undefined,
  expiresAt: number | undefined,
  life: TopicLife | undefined,
): Pick<TopicInfo, 'ttlMs' | 'ttlMode' | 'expiresAt' | 'endsAt'> {
  return {
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(life === undefined || life.mode === 'idle' ? {} : { ttlMode: life.mode }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(life?.endsAt === undefined ? {} : { endsAt: life.endsAt }),
  };
}

/** Nothing holds the topic any more. */
export function hasEnded(life: TopicLife | undefined, now: number): boolean {
  return life?.endsAt !== undefined && life.endsAt <= now;
}

/** Attached readers keep the topic. */
export function isKeptByReaders(life: TopicLife | undefined): boolean {
  return life?.mode === 'reader';
}
