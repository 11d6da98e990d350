// Times of events as the OpenAI wires have them.

/** Seconds since 1970 of a time in an event. */
export function secondsOf(time: string | undefined): number {
  return time === undefined ? 0 : Math.floor(Date.parse(time) / 1000);
}
