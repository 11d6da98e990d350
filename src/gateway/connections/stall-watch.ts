// Tells a slow reader from one that is stuck: bytes wait for it and none of them moves. A stuck one holds a place
// that somebody else could use, and will resume from its position anyway.
export const STALLED_MS = 120_000;

export class StallWatch {
  #bytes = 0;
  #since = 0;

  /** Asked now and then, with the bytes that wait. `now`: monotonic ms. */
  isStuck(bytes: number, now: number): boolean {
    if (bytes === 0 || bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#since = now;
      return false;
    }
    return now - this.#since >= STALLED_MS;
  }
}
