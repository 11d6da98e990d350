// The highest load that a system carries with p99 below a bound: chats are added step by step, and each step is measured
// once its chats are open.
import { setTimeout as pause } from 'node:timers/promises';
import { withBench, type Bench, type Window } from './bench.ts';
import type { System } from './systems.ts';

/** From the due time of a token to its arrival. */
export const P99_BOUND_MS = 100;
/** Steps above the bound, one after another, after which the search ends: one may be a neighbour's doing. */
const MISSES_MAX = 2;
/** Of what was offered: a backlog that drains gives a little more or less. */
const DELIVERED_MIN = 0.9;
const SETTLE_MS = 1500;
/** Before the first step, in which the compiler of a new process still works. */
const WARM_UP_MS = 3000;
const STEP_SECONDS = 3;
/** Tokens a second of each chat. */
export const RATE = 20;
/** Steps of the plan's width; those after them are twice as wide. */
const NARROW_STEPS = 10;
/** A model server that writes its tokens so late was disturbed by a neighbour, or is at its own end: the step says nothing
 *  of the system, and is measured again. */
const LATE_MAX_MS = 20;
const TRIES_MAX = 3;
/** Such steps, one after another, after which the search ends: the lab carries no more. */
const DISTURBED_MAX = 4;

export interface Search {
  /** Tokens a second of the highest step whose p99 was below the bound; 0 if there was none. */
  readonly highestPerSecond: number;
  /** The system was not at its end, but the lab or the plan was. */
  readonly isAtLeast: boolean;
  readonly steps: readonly Window[];
}

export interface SearchOptions {
  readonly step: number;
  readonly top: number;
  readonly hasTls: boolean;
}

export async function search(system: System, { step, top, hasTls }: SearchOptions): Promise<Search> {
  return withBench(system, { rate: RATE, hasTls }, async (bench) => {
    const steps: Window[] = [];
    for (let load = step; load <= top && !isOver(steps); load = nextLoad(load, step)) {
      await bench.open(Math.round(load / RATE) - bench.chats);
      if (steps.length === 0) await pause(WARM_UP_MS);
      steps.push(await measureUndisturbed(bench));
    }
    return { highestPerSecond: highestOf(steps), isAtLeast: !isEndOfSystem(steps), steps };
  });
}

async function measureUndisturbed(bench: Bench): Promise<Window> {
  for (let tries = 1; ; tries++) {
    await pause(SETTLE_MS);
    const window = await bench.measure(STEP_SECONDS);
    if (!isDisturbed(window) || tries === TRIES_MAX) return window;
  }
}

export function nextLoad(load: number, step: number): number {
  return load + (load < NARROW_STEPS * step ? step : 2 * step);
}

type Carried = Pick<Window, 'p99Ms' | 'deliveredShare' | 'offeredPerSecond' | 'lateP99Ms'>;

/** With nothing delivered there are no latencies, so p99 alone would be a good figure. */
function isCarried({ p99Ms, deliveredShare }: Carried): boolean {
  return p99Ms < P99_BOUND_MS && deliveredShare > DELIVERED_MIN;
}

function isDisturbed({ lateP99Ms }: Carried): boolean {
  return lateP99Ms > LATE_MAX_MS;
}

export function isOver(steps: readonly Carried[]): boolean {
  return isEndOfSystem(steps) || steps.slice(-DISTURBED_MAX).filter(isDisturbed).length === DISTURBED_MAX;
}

/** Its last steps were above the bound, and not by the lab's doing. */
export function isEndOfSystem(steps: readonly Carried[]): boolean {
  const last = steps.slice(-MISSES_MAX);
  return last.length === MISSES_MAX && last.every((step) => !isCarried(step) && !isDisturbed(step));
}

export function highestOf(steps: readonly Carried[]): number {
  return steps.filter(isCarried).reduce((most, { offeredPerSecond }) => Math.max(most, offeredPerSecond), 0);
}
