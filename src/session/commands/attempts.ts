// Counts the attempts of a run. A run is started again when its worker is lost, and the number of starts is bounded.
// Most workers are lost for a reason outside the run: a deploy, a restart, another run that blocks the event loop. So
// an idle attempt (one that appended no part and no token) has a bound of its own, far above `attemptsMax`, and waits
// longer each time. A run whose own code blocks its worker fails before it uses up the attempts of the runs beside it.
// Pure.

/** Idle attempts of a run. A rolling update or a crash loop of a few minutes uses fewer. */
export const IDLE_ATTEMPTS_MAX = 24;
/** How many workers the code of one run may block for longer than their lease; then the run fails. */
export const BLOCKED_WORKERS_MAX = 2;
/** Idle attempts without a pause: one or two restarts are normal. */
const IDLE_ATTEMPTS_FREE = 3;
const PAUSE_MS_FIRST = 250;
const PAUSE_MS_MAX = 5_000;
/** The last start, which ends the run, and one delivery to spare. */
const UNSTARTED_SPARE = 2;
const DELIVERY_PAUSE_MS_FIRST = 1_000;
const DELIVERY_PAUSE_MS_MAX = 60_000;

/** Deliveries of a run's request to workers, if the run may have this many attempts that are not idle. The queue counts
 *  them, also those that end before the run's start is in the log. A run that starts reaches its own bounds before. */
export function deliveriesMax(attemptsMax: number): number {
  return attemptsMax + IDLE_ATTEMPTS_MAX + UNSTARTED_SPARE;
}

/** ms until a request is delivered again whose last delivery, the `attempt`th, failed before the run began. */
export function pauseBeforeDelivery(attempt: number): number {
  return Math.min(DELIVERY_PAUSE_MS_MAX, DELIVERY_PAUSE_MS_FIRST * 2 ** (attempt - 1));
}

export interface AttemptCount {
  /** How often the run was started. */
  readonly attempt: number;
  /** Attempts of earlier legs, which do not count against this one. Absent: 0. */
  readonly earlierAttempts?: number;
  /** How many of the earlier attempts were idle. Absent: 0. */
  readonly idleAttempts?: number;
  /** Workers that the run's code has blocked, and the attempt that blocked the last one. Absent: 0. */
  readonly blockedWorkers?: number;
  readonly blockedAttempt?: number;
}

/** `worker-lost`, `worker-blocked`: the error code of the failed run. */
export type AttemptVerdict = 'go-on' | 'worker-lost' | 'worker-blocked';

/** Counts the next start of a run. `wasIdle`: the attempt before appended no part and no token. */
export function countStart(run: AttemptCount, wasIdle: boolean): Pick<AttemptCount, 'attempt' | 'idleAttempts'> {
  const idle = (run.idleAttempts ?? 0) + (wasIdle && run.attempt > 0 ? 1 : 0);
  return { attempt: run.attempt + 1, ...(idle === 0 ? {} : { idleAttempts: idle }) };
}

/** Counts the start of the next leg. What earlier legs took does not count against it. */
export function countResume(run: AttemptCount): AttemptCount {
  return {
    attempt: run.attempt + 1,
    earlierAttempts: run.attempt,
    idleAttempts: 0,
    blockedWorkers: 0,
  };
}

/** Counts at most one worker for each attempt: an attempt may block the same worker several times. */
export function countBlocked(
  run: AttemptCount,
  attempt: number,
): Pick<AttemptCount, 'blockedWorkers' | 'blockedAttempt'> {
  if (run.blockedAttempt === attempt) return {};
  return { blockedWorkers: (run.blockedWorkers ?? 0) + 1, blockedAttempt: attempt };
}

/** Whether the attempt that `run` counts may answer, or must end the run. */
export function judgeAttempts(
  { attempt, earlierAttempts = 0, idleAttempts = 0, blockedWorkers = 0 }: AttemptCount,
  attemptsMax: number,
): AttemptVerdict {
  if (blockedWorkers >= BLOCKED_WORKERS_MAX) return 'worker-blocked';
  return attempt - earlierAttempts - idleAttempts > attemptsMax || idleAttempts > IDLE_ATTEMPTS_MAX
    ? 'worker-lost'
    : 'go-on';
}

/** ms that a worker waits before it starts a run again. A run that ends its process each time thereby leaves the other
 *  runs time to finish. */
export function pauseBeforeStart({ idleAttempts = 0 }: AttemptCount): number {
  const steps = idleAttempts - IDLE_ATTEMPTS_FREE;
  return steps < 0 ? 0 : Math.min(PAUSE_MS_MAX, PAUSE_MS_FIRST * 2 ** steps);
}
