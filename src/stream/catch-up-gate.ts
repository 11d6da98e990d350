// Whose turn it is to read history. Thousands of readers that come back at once must not stand between a live token
// and its viewers: a few catch up at a time, the rest wait in the order in which they came, and between two of them the
// event loop goes round once.
import type { StopSignal } from '../stop-signal.ts';

/** Readers that read and encode history at once. Each holds the loop for a few ms at most, so this bounds what a live
 *  token waits behind. */
export const CATCH_UPS_MAX = 8;
/** Readers that may wait for their turn; a node with more of them takes no new stream. */
export const CATCH_UPS_WAITING_MAX = 8192;

export class CatchUpGate {
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  get isCrowded(): boolean {
    return this.#waiting.size >= CATCH_UPS_WAITING_MAX;
  }

  /** Resolves to true when it is this reader's turn: it must `leave`. To false when its signal aborts before that. */
  async enter(signal: StopSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#inside < CATCH_UPS_MAX) {
      this.#inside += 1;
      return true;
    }
    return new Promise((resolve) => {
      const settle = (isIn: boolean): void => {
        this.#waiting.delete(letIn);
        signal.removeEventListener('abort', giveUp);
        resolve(isIn);
      };
      const letIn = (): void => settle(true);
      const giveUp = (): void => settle(false);
      this.#waiting.add(letIn);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** The place goes to who waited longest, once whatever else is due has had its turn. */
  leave(): void {
    if (this.#waiting.size === 0) {
      this.#inside -= 1;
      return;
    }
    setImmediate(() => {
      const [next] = this.#waiting;
      if (next === undefined) this.#inside -= 1;
      else next();
    });
  }
}
