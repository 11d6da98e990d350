// Finds out which handler's code kept the event loop to itself. A worker whose loop is blocked for longer than its lease
// loses every run it has, and only the run whose code blocked it is to blame: the others must not pay for it again and
// again. Each step of a handler is timed where Node enters and leaves it. The hooks are on only while a handler runs.
import { AsyncLocalStorage, createHook, type AsyncHook } from 'node:async_hooks';
import { setImmediate } from 'node:timers';
import type { Clock } from '../clock.ts';

interface Watched {
  readonly onBlocked: (ms: number) => void;
}

export class BlockWatch {
  readonly #clock: Clock;
  readonly #blockedMs: number;
  readonly #watched = new AsyncLocalStorage<Watched>();
  readonly #hook: AsyncHook;
  #running = 0;
  #entered: { readonly watched: Watched; readonly at: number } | undefined;

  /** A step that takes `blockedMs` or longer blocks. */
  constructor(clock: Clock, blockedMs: number) {
    this.#clock = clock;
    this.#blockedMs = blockedMs;
    this.#hook = createHook({ before: () => this.#enter(), after: () => this.#leave() });
  }

  /** Calls `onBlocked` after each step of the work, or of anything it began, that blocks. */
  async run<T>(work: () => Promise<T>, onBlocked: (ms: number) => void): Promise<T> {
    const watched = { onBlocked };
    if (this.#running === 0) this.#hook.enable();
    this.#running += 1;
    try {
      const startedAt = this.#clock.mono();
      const working = this.#watched.run(watched, work);
      // The first step belongs to whoever called, so no hook sees it.
      this.#judge(watched, startedAt);
      return await working;
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#hook.disable();
    }
  }

  #enter(): void {
    const watched = this.#watched.getStore();
    this.#entered = watched === undefined ? undefined : { watched, at: this.#clock.mono() };
  }

  #leave(): void {
    const entered = this.#entered;
    this.#entered = undefined;
    if (entered !== undefined) this.#judge(entered.watched, entered.at);
  }

  #judge({ onBlocked }: Watched, since: number): void {
    const ms = this.#clock.mono() - since;
    // Not inside a hook: an error there ends the process.
    if (ms >= this.#blockedMs) setImmediate(() => onBlocked(ms));
  }
}
