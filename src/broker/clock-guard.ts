// Decides whether an engine follows the machine's clock: a pure rule for every engine that ends topics by time. A clock
// that is wrong for ten seconds must not end every chat, because a chat that ended does not come back when the clock is
// right again. So the engine keeps its own time, which advances by the monotonic clock, and follows a jump of the wall
// clock only when the jump is confirmed.
//
// A jump is a difference of more than CLOCK_JUMP_MS between the wall clock and the engine's time, in either direction.
// It is confirmed when the wall clock has kept it for as long as the jump itself, at most for CLOCK_CONFIRM_MS_MAX, or
// when an operator confirms it. Until then the engine's time continues as before: topics live longer, and none is lost.
// At a start, a machine that was off and a clock that is wrong look the same, so a start after a long pause waits as
// well.

/** A restart or a reboot takes less. The engine must record its time more often than this (see CLOCK_CHECK_MS). */
export const CLOCK_JUMP_MS = 60 * 60 * 1000;
/** Longer than a weekend on which no operator reads the log. */
export const CLOCK_CONFIRM_MS_MAX = 3 * 24 * 60 * 60 * 1000;
/** How often an engine checks the clock, and records its time where nothing else has. */
export const CLOCK_CHECK_MS = 30 * 60 * 1000;

/** A jump that is not confirmed yet. */
export interface UnconfirmedJump {
  /** Monotonic ms when the jump was first seen. */
  readonly since: number;
  /** Wall time minus engine time when the jump was first seen. */
  readonly jumpMs: number;
  /** Wall time minus monotonic time. It changes when the clock is set again, and the wait then starts over. */
  readonly offset: number;
}

/** The engine's time at one moment of the monotonic clock. */
export interface EngineMoment {
  /** ms since 1970. */
  readonly time: number;
  readonly mono: number;
  readonly unconfirmed: UnconfirmedJump | undefined;
}

/** The engine's time when a process starts. `durable`: the latest time that the storage has recorded; undefined in a
 *  new storage. `isTrusted`: an operator says that the wall clock is right. */
export function firstMoment(durable: number | undefined, wall: number, mono: number, isTrusted: boolean): EngineMoment {
  if (durable === undefined || isTrusted) return { time: wall, mono, unconfirmed: undefined };
  return nextMoment({ time: durable, mono, unconfirmed: undefined }, wall, mono);
}

/** Returns the engine's time at a check after the start. If the wall clock is ahead by at most CLOCK_JUMP_MS, the
 *  engine takes the wall clock's time. If the wall clock is behind by at most that, the engine's time continues by the
 *  monotonic clock. So the engine's time goes back only when a jump back is confirmed. */
export function nextMoment(before: EngineMoment, wall: number, mono: number): EngineMoment {
  const time = timeAt(before, mono);
  const jumpMs = wall - time;
  if (Math.abs(jumpMs) <= CLOCK_JUMP_MS) return { time: Math.max(time, wall), mono, unconfirmed: undefined };
  const offset = wall - mono;
  const isSame = before.unconfirmed !== undefined && Math.abs(before.unconfirmed.offset - offset) <= CLOCK_JUMP_MS;
  const jump = isSame ? before.unconfirmed : { since: mono, jumpMs, offset };
  return mono >= confirmedAt(jump) ? { time: wall, mono, unconfirmed: undefined } : { time, mono, unconfirmed: jump };
}

export function timeAt({ time, mono }: EngineMoment, now: number): number {
  return time + (now - mono);
}

/** The monotonic time at which the jump becomes confirmed. */
export function confirmedAt({ since, jumpMs }: UnconfirmedJump): number {
  return since + Math.min(Math.abs(jumpMs), CLOCK_CONFIRM_MS_MAX);
}

/** One line for an operator. */
export function describeJump(jump: UnconfirmedJump, mono: number): string {
  const direction = jump.jumpMs > 0 ? 'ahead of' : 'behind';
  const left = Math.max(0, confirmedAt(jump) - mono);
  return `the clock is ${spell(Math.abs(jump.jumpMs))} ${direction} the last recorded time: the server was off, or the clock is wrong. Topics do not expire by this clock for another ${spell(left)}; with HOLDLINE_CLOCK=trust the next start accepts it`;
}

const HOUR_MS = 60 * 60 * 1000;

function spell(ms: number): string {
  const hours = Math.round(ms / HOUR_MS);
  if (hours < 1) return `${Math.ceil(ms / 60_000)} min`;
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}
