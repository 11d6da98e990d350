// The moments at which faults happen: counts events as they happen, so that a test can make a fault at the n-th event
// from now, or just after a request has left, and not after a time.

export type MomentKind = 'event' | 'send' | 'edit' | 'cancel';

interface Wait {
  readonly kinds: ReadonlySet<MomentKind>;
  left: number;
  readonly resolve: () => void;
}

export class Moments {
  readonly #waits = new Set<Wait>();
  readonly counts: Record<MomentKind, number> = { event: 0, send: 0, edit: 0, cancel: 0 };

  happened(kind: MomentKind): void {
    this.counts[kind] += 1;
    for (const wait of [...this.#waits]) {
      if (!wait.kinds.has(kind)) continue;
      wait.left -= 1;
      if (wait.left > 0) continue;
      this.#waits.delete(wait);
      wait.resolve();
    }
  }

  /** Resolves at the n-th event from now, of any of these kinds. */
  next(count: number, ...kinds: MomentKind[]): Promise<void> {
    return new Promise((resolve) => this.#waits.add({ kinds: new Set(kinds), left: count, resolve }));
  }
}
