// The cursor of live reads: the number of a 20-second interval. Clients send it back, so that a cache in between gets
// another key as time passes. It never goes back. Pure.

const EPOCH_MS = Date.UTC(2024, 9, 9);
const INTERVAL_MS = 20_000;
/** A client whose cursor is not behind the present one gets one that is this much later at most. */
const JITTER_MS_MAX = 3_600_000;

/** `given`: the cursor that the client sent. `random`: from 0 (included) to 1. */
export function nextCursor(nowMs: number, given: number | undefined, random: number): string {
  const current = Math.max(0, Math.floor((nowMs - EPOCH_MS) / INTERVAL_MS));
  if (given === undefined || given < current) return String(current);
  return String(given + 1 + Math.floor((random * JITTER_MS_MAX) / INTERVAL_MS));
}
