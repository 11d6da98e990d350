// Parses durations: a whole number and a unit.

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** The seconds of `90s`, `15m`, `1h` or `30d`; undefined for anything else, for 0, and above the maximum. */
export function parseDuration(text: string, secondsMax: number): number | undefined {
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNIT_SECONDS[unit] ?? Number.NaN);
  return seconds > 0 && seconds <= secondsMax ? seconds : undefined;
}
