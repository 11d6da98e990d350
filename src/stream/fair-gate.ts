// Limits how many expensive operations (a read of history, a search for a message in it) run at the same time, in total
// and for each user; the rest wait. The gate serves users in turn, however many operations each of them has waiting: a
// user with a thousand pages gets one turn, then every other user gets one. Between two operations that waited, the
// event loop turns once, so that a live token waits for at most one of them.
import type { StopSignal } from '../base/stop-signal.ts';

export interface GateLimits {
  readonly insideMax: number;
  readonly insidePerUserMax: number;
  readonly waitingMax: number;
  readonly waitingPerUserMax: number;
}

interface UserTurns {
  inside: number;
  readonly waiting: Set<() => void>;
}

export class FairGate {
  readonly #limits: GateLimits;
  /** Users with an operation inside or waiting. The user whose last turn is the longest ago is first. */
  readonly #users = new Map<string, UserTurns>();
  #inside = 0;
  #waiting = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
  }

  /** As many operations wait as the limits allow. */
  get isCrowded(): boolean {
    return this.#waiting >= this.#limits.waitingMax;
  }

  /** As many operations of this user wait as the limits allow for one user. */
  isCrowdedBy(user: string): boolean {
    return (this.#users.get(user)?.waiting.size ?? 0) >= this.#limits.waitingPerUserMax;
  }

  /** Resolves to true when it is the caller's turn: the caller must `leave` afterwards. Resolves to false when the
   *  signal aborts before that. */
  async enter(user: string, signal: StopSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const turns = this.#turnsOf(user);
    if (this.#mayEnter(turns)) {
      this.#admit(user, turns);
      return true;
    }
    return new Promise((resolve) => {
      const settle = (isIn: boolean): void => {
        turns.waiting.delete(letIn);
        this.#waiting -= 1;
        signal.removeEventListener('abort', giveUp);
        if (isIn) this.#admit(user, turns);
        else this.#forgetIfIdle(user, turns);
        resolve(isIn);
      };
      const letIn = (): void => settle(true);
      const giveUp = (): void => settle(false);
      turns.waiting.add(letIn);
      this.#waiting += 1;
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Gives the free slot to the user that has waited longest, in the next turn of the event loop. */
  leave(user: string): void {
    const turns = this.#turnsOf(user);
    turns.inside -= 1;
    this.#forgetIfIdle(user, turns);
    if (this.#waiting === 0) {
      this.#inside -= 1;
      return;
    }
    // Until then the slot stays taken, so that an operation that arrives now queues behind the waiting ones.
    setImmediate(() => {
      this.#inside -= 1;
      this.#letInNext();
    });
  }

  #turnsOf(user: string): UserTurns {
    const known = this.#users.get(user);
    if (known !== undefined) return known;
    const turns = { inside: 0, waiting: new Set<() => void>() };
    this.#users.set(user, turns);
    return turns;
  }

  #mayEnter({ inside }: UserTurns): boolean {
    return this.#inside < this.#limits.insideMax && inside < this.#limits.insidePerUserMax;
  }

  #admit(user: string, turns: UserTurns): void {
    this.#inside += 1;
    turns.inside += 1;
    // Moves the user behind all other users.
    this.#users.delete(user);
    this.#users.set(user, turns);
  }

  #letInNext(): void {
    for (const turns of this.#users.values()) {
      const [next] = turns.waiting;
      if (next === undefined || !this.#mayEnter(turns)) continue;
      next();
      return;
    }
  }

  #forgetIfIdle(user: string, turns: UserTurns): void {
    if (turns.inside === 0 && turns.waiting.size === 0) this.#users.delete(user);
  }
}
