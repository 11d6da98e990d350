// From the samples of all rounds to one row for each system and load: medians, because a neighbour on the machine
// disturbs single rounds. Pure.
import type { Window } from './bench.ts';
import type { Load } from './plan.ts';
import { SYSTEM_NAMES, YARDSTICK, type SystemName } from './systems.ts';

export interface Sample extends Window, Load {
  readonly system: SystemName;
  readonly round: number;
}

export interface Row extends Load {
  readonly system: SystemName;
  readonly rounds: number;
  /** Medians; `violations` is the sum. */
  readonly figures: Window;
  /** The least and the most CPU µs a token of a round. */
  readonly micros: readonly [least: number, most: number];
  /** CPU a token against the yardstick's, the median of the rounds' ratios; undefined where it was not measured. */
  readonly ratio: number | undefined;
}

/** One row for each system that was measured, by load and then as the systems are listed. */
export function summarize(samples: readonly Sample[]): Row[] {
  const loads = [...new Map(samples.map(({ chats, rate }) => [`${chats}x${rate}`, { chats, rate }])).values()];
  return loads.flatMap((load) =>
    SYSTEM_NAMES.flatMap((system) => {
      const own = samples.filter((one) => one.system === system && isAt(one, load));
      return own.length === 0 ? [] : [rowOf(system, load, own, samples)];
    }),
  );
}

function rowOf(system: SystemName, load: Load, own: readonly Sample[], all: readonly Sample[]): Row {
  const ratios = own.flatMap(({ round, micros }) => {
    const yardstick = all.find((one) => one.system === YARDSTICK && one.round === round && isAt(one, load));
    return yardstick === undefined ? [] : [micros / yardstick.micros];
  });
  const sorted = own.map(({ micros }) => micros).sort((a, b) => a - b);
  return {
    system,
    ...load,
    rounds: own.length,
    figures: mediansOf(own),
    micros: [sorted[0] ?? 0, sorted.at(-1) ?? 0],
    ratio: ratios.length === 0 ? undefined : median(ratios),
  };
}

function mediansOf(samples: readonly Sample[]): Window {
  const of = (key: keyof Window): number => median(samples.map((one) => one[key]));
  return {
    offeredPerSecond: of('offeredPerSecond'),
    deliveredPerSecond: of('deliveredPerSecond'),
    deliveredShare: of('deliveredShare'),
    nodeMicros: of('nodeMicros'),
    redisMicros: of('redisMicros'),
    micros: of('micros'),
    cpuPercent: of('cpuPercent'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    maxMs: of('maxMs'),
    eventsPerToken: of('eventsPerToken'),
    bytesPerToken: of('bytesPerToken'),
    residentMb: of('residentMb'),
    redisResidentMb: of('redisResidentMb'),
    violations: samples.reduce((sum, { violations }) => sum + violations, 0),
    lateP99Ms: of('lateP99Ms'),
    labCpuPercent: of('labCpuPercent'),
  };
}

function isAt(one: Load, load: Load): boolean {
  return one.chats === load.chats && one.rate === load.rate;
}

/** Of an even number of values the mean of the two in the middle; 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] ?? 0;
  return ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
