// Which starts of a run count against it. A run is started again when its worker is lost, and must not be started for
// ever. But a worker is mostly lost for a reason that is not the run's: a deploy, a restart, a neighbour that blocks the
// event loop. So a start that said nothing before its worker was lost has a bound of its own, far above `attemptsMax`, and
// waits longer each time. A run whose own code blocks its worker is ended before it costs its neighbours their starts. Pure.

/** Starts that said nothing. Above what a rolling update or a crash loop of a few minutes uses up. */
export const IDLE_ATTEMPTS_MAX = 24;
/** Workers that the code of one run may block for longer than their lease. */
export const BLOCKED_WORKERS_MAX = 2;
/** Idle starts before a run has to wait: one restart or two are nobody's fault. */
const IDLE_ATTEMPTS_FREE = 3;
const PAUSE_MS_FIRST = 250;
const PAUSE_MS_MAX = 5_000;

export interface AttemptCount {
  /** How often the run was started. */
  readonly attempt: number;
  /** Of the earlier ones: how many said nothing. Absent: 0. */
  readonly idleAttempts?: number;
  /** Workers that its code has blocked, and the attempt of the last. Absent: 0. */
  readonly blockedWorkers?: number;
  readonly blockedAttempt?: number;
}

/** `worker-lost`, `worker-blocked`: the code with which it is failed. */
export type AttemptVerdict = 'go-on' | 'worker-lost' | 'worker-blocked';

/** The next start of a run. `wasIdle`: the one before said nothing, no part and no token. */
export function countStart(run: AttemptCount, wasIdle: boolean): Pick<AttemptCount, 'attempt' | 'idleAttempts'> {
  const idle = (run.idleAttempts ?? 0) + (wasIdle && run.attempt > 0 ? 1 : 0);
  return { attempt: run.attempt + 1, ...(idle === 0 ? {} : { idleAttempts: idle }) };
}

/** At most one worker an attempt: it may block the same one again and again. */
export function countBlocked(
  run: AttemptCount,
  attempt: number,
): Pick<AttemptCount, 'blockedWorkers' | 'blockedAttempt'> {
  if (run.blockedAttempt === attempt) return {};
  return { blockedWorkers: (run.blockedWorkers ?? 0) + 1, blockedAttempt: attempt };
}

/** May the start that `run` counts answer, or does it only end the run? */
export function judgeAttempts(
  { attempt, idleAttempts = 0, blockedWorkers = 0 }: AttemptCount,
  attemptsMax: number,
): AttemptVerdict {
  if (blockedWorkers >= BLOCKED_WORKERS_MAX) return 'worker-blocked';
  return attempt - idleAttempts > attemptsMax || idleAttempts > IDLE_ATTEMPTS_MAX ? 'worker-lost' : 'go-on';
}

/** How long a worker waits before it starts a run again, so that one that ends its process each time leaves its neighbours
 *  time to finish in between. */
export function pauseBeforeStart({ idleAttempts = 0 }: AttemptCount): number {
  const steps = idleAttempts - IDLE_ATTEMPTS_FREE;
  return steps < 0 ? 0 : Math.min(PAUSE_MS_MAX, PAUSE_MS_FIRST * 2 ** steps);
}
