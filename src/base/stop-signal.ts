// An end that is told once, to whoever waits for it. The platform's AbortController is the same and takes some 750 bytes
// (two maps, and a hidden class of its own for each signal); of this one a node holds two for each open stream.

/** What is asked of a signal where there may be ten thousand of them. An AbortSignal is one as well. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export class StopController implements StopSignal {
  /** Mostly there is one, and so no list of them. */
  #first: (() => void) | undefined;
  #others: Set<() => void> | undefined;
  aborted = false;

  /** Idempotent. Listeners are called in the order in which they came, each once. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    const first = this.#first;
    this.#first = undefined;
    first?.();
    // One that is taken off by another of them is not called any more.
    for (const listener of this.#others ?? []) listener();
    this.#others = undefined;
  }

  /** Nothing is heard of what has ended before. */
  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.aborted || listener === this.#first) return;
    if (this.#first === undefined && this.#others === undefined) this.#first = listener;
    else (this.#others ??= new Set()).add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    if (listener === this.#first) this.#first = undefined;
    else if (this.#others?.delete(listener) === true && this.#others.size === 0) this.#others = undefined;
  }
}
