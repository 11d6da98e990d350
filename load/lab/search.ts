// The highest load that a system carries with p99 below a bound: chats are added step by step, and each step is measured
// once its chats are open.
import { pause, withBench, type Window } from './bench.ts';
import type { System } from './systems.ts';

/** From the due time of a token to its arrival. */
export const P99_BOUND_MS = 100;
/** Steps above the bound, one after another, after which the search ends: one may be a neighbour's doing. */
const MISSES_MAX = 2;
const SETTLE_MS = 1500;
const STEP_SECONDS = 3;
const RATE = 20;

export interface Search {
  /** Tokens a second of the highest step whose p99 was below the bound; 0 if there was none. */
  readonly highestPerSecond: number;
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
    for (let misses = 0, load = step; misses < MISSES_MAX && load <= top; load += step) {
      await bench.open(Math.round(step / RATE));
      await pause(SETTLE_MS);
      const window = await bench.measure(STEP_SECONDS);
      steps.push(window);
      misses = isCarried(window) ? 0 : misses + 1;
    }
    return { highestPerSecond: highestOf(steps), steps };
  });
}

/** With nothing delivered there are no latencies, so p99 alone would be a good figure. */
export function isCarried({ p99Ms, deliveredShare }: Pick<Window, 'p99Ms' | 'deliveredShare'>): boolean {
  return p99Ms < P99_BOUND_MS && deliveredShare > 0.9;
}

export function highestOf(steps: readonly Pick<Window, 'p99Ms' | 'deliveredShare' | 'offeredPerSecond'>[]): number {
  return Math.max(0, ...steps.filter(isCarried).map(({ offeredPerSecond }) => offeredPerSecond));
}
