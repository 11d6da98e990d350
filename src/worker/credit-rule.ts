// How many runs of an agent a worker may have at once, by how its runs went: additive increase, multiplicative decrease
// [RFC 5681], from what the worker itself has seen. Pure: time is an argument (monotonic ms). Rules:
//  - A failure of the model server, or a lease that ran out, halves the credit; it is never below 1, so the worker can
//    recover. Failures of runs that began before the last failure that counted do not count: one outage ends all runs
//    under way, and counts once.
//  - A success adds 1, so a worker that failed has its whole credit back after as many successes.
//  - After REST_FAILURES failures without a success, and after each further one, the worker takes nothing for a while:
//    a server that fails at once would otherwise take more runs than one that answers, even one at a time. A success
//    ends the rest, and REST_MS_MAX bounds it, so the only worker of an agent continues to try.
//  - A server that becomes SLOW_FACTOR times slower to its first token than it used to be takes a quarter off, down to
//    SLOW_PART of the maximum. What lasts becomes usual: then the credit comes back. A server that was always slower
//    than others holds its runs longer, and so gets fewer without any rule. One slow run is no slow server (its prompt
//    may be long), so a run moves the means as if it had taken SLOW_FACTOR times as long as they say, at most.

/** Failures without a success between them before the worker rests. */
export const REST_FAILURES = 3;
const REST_MS_FIRST = 250;
export const REST_MS_MAX = 5_000;
/** The first token takes so many times as long as usual. */
export const SLOW_FACTOR = 3;
const SLOW_DECREASE = 0.75;
/** Slowness leaves this part of the maximum. */
export const SLOW_PART = 0.25;
/** Differences below this are not the server's. */
const SLOW_MS_MIN = 500;
/** How much one run moves the recent mean, and the usual one. */
const RECENT_GAIN = 0.3;
const USUAL_GAIN = 0.03;

export interface CreditState {
  /** A whole number from 1 to the maximum. */
  readonly credit: number;
  /** That counted, without a success since. */
  readonly failures: number;
  /** Monotonic ms: when a failure counted last. */
  readonly failedAt: number;
  /** Monotonic ms. */
  readonly restUntil: number;
  /** Moving means of the ms until the first token; undefined before any came. */
  readonly recentMs: number | undefined;
  readonly usualMs: number | undefined;
}

/** `failed`: the model server failed, or the lease ran out. `begunAt`: monotonic ms. `firstTokenMs`: undefined for an
 *  answer without text. */
export type RunEvidence =
  { readonly failed: true; readonly begunAt: number } | { readonly failed: false; readonly firstTokenMs?: number };

export function startingCredit(max: number): CreditState {
  const never = -Infinity;
  return { credit: max, failures: 0, failedAt: never, restUntil: never, recentMs: undefined, usualMs: undefined };
}

export function afterRun(state: CreditState, evidence: RunEvidence, max: number, now: number): CreditState {
  if (evidence.failed) {
    if (evidence.begunAt < state.failedAt) return state;
    const failures = state.failures + 1;
    const credit = Math.max(1, Math.floor(state.credit / 2));
    return { ...state, credit, failures, failedAt: now, restUntil: Math.max(state.restUntil, now + restMs(failures)) };
  }
  const { firstTokenMs: ms } = evidence;
  const recentMs = ms === undefined ? state.recentMs : moved(state.recentMs, ms, RECENT_GAIN);
  const usualMs = ms === undefined ? state.usualMs : moved(state.usualMs, ms, USUAL_GAIN);
  const next = { ...state, failures: 0, restUntil: -Infinity, recentMs, usualMs };
  if (!isSlow(next)) return { ...next, credit: Math.min(max, state.credit + 1) };
  // A credit that failures have lowered further stays.
  const least = Math.min(state.credit, Math.ceil(max * SLOW_PART));
  return { ...next, credit: Math.max(least, Math.floor(state.credit * SLOW_DECREASE), 1) };
}

/** Ends a rest. */
export function rested(state: CreditState): CreditState {
  return { ...state, restUntil: -Infinity };
}

/** Runs that the worker may have now. */
export function creditNow({ credit, restUntil }: CreditState, now: number): number {
  return now < restUntil ? 0 : credit;
}

function restMs(failures: number): number {
  const steps = failures - REST_FAILURES;
  return steps < 0 ? 0 : Math.min(REST_MS_MAX, REST_MS_FIRST * 2 ** steps);
}

function isSlow({ recentMs = 0, usualMs = 0 }: CreditState): boolean {
  return recentMs > SLOW_FACTOR * usualMs && recentMs - usualMs > SLOW_MS_MIN;
}

function moved(mean: number | undefined, value: number, gain: number): number {
  if (mean === undefined) return value;
  return mean + gain * (Math.min(value, SLOW_FACTOR * Math.max(mean, SLOW_MS_MIN)) - mean);
}
