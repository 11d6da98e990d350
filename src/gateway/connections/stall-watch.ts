// Tells a stuck reader from a slow one: bytes are buffered for a stuck reader and none of them leaves. A stuck
// connection takes room from others, and its reader can resume from its position.

/** A reader is stuck when its buffer has not changed for this long. */
export const STALLED_MS = 120_000;

export class StallWatch {
  #bytes = 0;
  #since = 0;

  /** Must be called regularly with the number of buffered bytes. `now`: monotonic ms. */
  isStuck(bytes: number, now: number): boolean {
    if (bytes === 0 || bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#since = now;
      return false;
    }
    return now - this.#since >= STALLED_MS;
  }
}
