// The text of a token in the lab: " ~" and five digits in base 36 that say when the token was due, in tenths of a
// millisecond of the machine's monotonic clock. It has about the length of a real token, every system passes it on as it
// is, and a viewer finds it by one byte. The digits begin again after 100 minutes.

export const TOKEN_MARK = 0x7e;
export const STAMP_DIGITS = 5;
/** Tenths of a millisecond after which the digits begin again. */
export const STAMP_PERIOD = 36 ** STAMP_DIGITS;

/** `dueMs`: of the monotonic clock. */
export function tokenText(dueMs: number): string {
  const tenths = Math.round(dueMs * 10) % STAMP_PERIOD;
  return ` ~${tenths.toString(36).padStart(STAMP_DIGITS, '0')}`;
}

/** The tenths of a millisecond in the digits that begin at `from`; -1 if these are no digits. */
export function readStamp(bytes: Uint8Array, from: number): number {
  let value = 0;
  for (let i = from; i < from + STAMP_DIGITS; i++) {
    const digit = digitOf(bytes[i] ?? 0);
    if (digit < 0) return -1;
    value = value * 36 + digit;
  }
  return value;
}

/** How long after `stamp` the time `nowMs` is, in ms. Never below zero: a stamp is rounded. */
export function ageMs(stamp: number, nowMs: number): number {
  const tenths = stampDistance(stamp, (nowMs * 10) % STAMP_PERIOD);
  return Math.max(0, tenths / 10);
}

/** Tenths of a millisecond from one stamp to the other, at most half a period to either side. */
export function stampDistance(from: number, to: number): number {
  const ahead = (((to - from) % STAMP_PERIOD) + STAMP_PERIOD) % STAMP_PERIOD;
  return ahead > STAMP_PERIOD / 2 ? ahead - STAMP_PERIOD : ahead;
}

function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x61 + 10;
  return -1;
}
