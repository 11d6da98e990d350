// What a test client has received so far, and waits for more without sleeping. A wait ends with the item that fulfils
// it, or fails when no more items can come.

export class Inbox<T> {
  readonly seen: T[] = [];
  readonly #waiting = new Set<() => void>();
  #ended: string | undefined;

  push(item: T): void {
    this.seen.push(item);
    this.#tell();
  }

  end(why: string): void {
    this.#ended ??= why;
    this.#tell();
  }

  async until(condition: (seen: readonly T[]) => boolean): Promise<readonly T[]> {
    while (!condition(this.seen)) {
      if (this.#ended !== undefined)
        throw new Error(`${this.#ended}, before the condition held; last: ${JSON.stringify(this.seen.slice(-3))}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    return this.seen;
  }

  /** The first item that fits, now or later. */
  async first(fits: (item: T) => boolean): Promise<T> {
    await this.until((seen) => seen.some(fits));
    const found = this.seen.find(fits);
    if (found === undefined) throw new Error('it was there a moment ago');
    return found;
  }

  async ended(): Promise<readonly T[]> {
    while (this.#ended === undefined) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    return this.seen;
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
