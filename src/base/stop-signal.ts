// A signal that ends something, once, and notifies its listeners. It does what the platform's AbortController does,
// which takes about 750 bytes (two maps, and a hidden class for each signal); a node holds two signals for each open
// stream.

/** The part of an AbortSignal that code may use where there can be ten thousand signals. An AbortSignal is a
 *  StopSignal too. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export class StopController implements StopSignal {
  /** The first listener. Most signals have only one, so the set is made for the second. */
  #first: (() => void) | undefined;
  #others: Set<() => void> | undefined;
  aborted = false;

  /** Idempotent. Calls the listeners in the order in which they were added, each once. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    const first = this.#first;
    this.#first = undefined;
    first?.();
    // A listener that another listener removes meanwhile is not called.
    for (const listener of this.#others ?? []) listener();
    this.#others = undefined;
  }

  /** Does nothing after the signal has aborted. */
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
