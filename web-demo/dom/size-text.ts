// A number of bytes as a person reads it.

const UNITS = ['KB', 'MB', 'GB'] as const;

/** Such as `812 bytes`, `12 KB`, `3.4 MB`; in steps of 1,000. */
export function sizeText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`;
  let [value, unit] = [bytes / 1_000, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit] ?? ''}`;
}
