// How slow this machine is now, and what follows from it: how long tests wait before they give up, and how long the
// servers that they start wait for one another. Every time-out of a test goes through `timeLimit`; test/tidy.test.ts
// checks that.
import { createHash } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';

/** The time of `measureWork` on two idle cores of an ordinary cloud machine. */
const REFERENCE_WORK_MS = 12;
const WORK_ROUNDS = 8;
const WORK_BYTES = new Uint8Array(1024 * 1024);
/** A factor of safety: the machine may become busy after a test has begun, and its time-out can no longer be changed
 *  then. A time-out that is too long costs time only when a test hangs. */
const SLOWNESS_MIN = 2;
const SLOWNESS_MAX = 30;

export interface MachineLoad {
  /** The wall time of one fixed piece of work. */
  readonly workMs: number;
  /** Runnable processes for each core. */
  readonly loadPerCore: number;
}

/** 1 on an idle machine of ordinary speed. */
export function slownessOf({ workMs, loadPerCore }: MachineLoad): number {
  return Math.min(SLOWNESS_MAX, Math.max(1, workMs / REFERENCE_WORK_MS, loadPerCore));
}

// Once in each test file, because the work takes time. The load is read at every call.
const workMs = measureWork();

export function slowness(): number {
  return slownessOf({ workMs, loadPerCore: (loadavg()[0] ?? 0) / availableParallelism() });
}

/** The time after which a test gives up on something that takes less than `ms` on an idle machine. */
export function timeLimit(ms: number): number {
  return Math.ceil(ms * Math.max(SLOWNESS_MIN, slowness()));
}

/** A time-out of a server under test, such as a lease: long enough that a live server on a busy machine is not treated
 *  as dead. Exactly `ms` on a machine that runs nothing but the tests, because tests of dead servers wait for it. */
export function slowed(ms: number): number {
  return Math.ceil(ms * Math.max(1, slowness() / SLOWNESS_MIN));
}

function measureWork(): number {
  const begun = performance.now();
  for (let round = 0; round < WORK_ROUNDS; round += 1) createHash('md5').update(WORK_BYTES).digest();
  return performance.now() - begun;
}
