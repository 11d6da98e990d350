// The age of a record at its delivery, sampled once for each run on `run.started`, which contains the time at which it
// was made. So a sample costs no token anything, and also measures records of another machine. Pure.
import type { WireEvent } from './events/wire-event.ts';

const MADE_AT = '"createdAt":"';
/** In ms. A larger difference is between two clocks, and no latency. */
const LATENCY_MS_MAX = 600_000;

/** In ms by the wall clock. Undefined where no run started, or where the clocks differ too much to tell. */
export function latencyOf(events: readonly WireEvent[], now: number): number | undefined {
  const sample = events.find((event) => event.type === 'run.started');
  if (sample === undefined) return undefined;
  // JSON escapes the quotes inside of strings, so this search finds the field itself.
  const from = sample.json.indexOf(MADE_AT) + MADE_AT.length;
  const ms = now - Date.parse(sample.json.slice(from, sample.json.indexOf('"', from)));
  // The time may be from the clock of another node, and both clocks may have been set since.
  return Math.abs(ms) < LATENCY_MS_MAX ? ms : undefined;
}
