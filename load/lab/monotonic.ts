// The machine's monotonic clock in ms, which all processes share: a token that one process wrote has an age in another.

const [seconds, nanoseconds] = process.hrtime();
const offsetMs = seconds * 1000 + nanoseconds / 1e6 - performance.now();

export function monotonicMs(): number {
  return offsetMs + performance.now();
}
