// Whose turn it is to do what costs a node much: to read history, or to look a message up in it. A few at a time, a few of
// them of one user; the rest wait. Users take turns, whatever each of them asks for, so that one who asks for a thousand
// pages stands behind every other user once, and not in front of them; and between two that waited the event loop goes
// round once, so that a live token waits for one of them at most.
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
  /** Users with a turn inside or one that waits; those who have waited longest for their next one first. */
  readonly #users = new Map<string, UserTurns>();
  #inside = 0;
  #waiting = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
  }

  /** Nobody else may wait. */
  get isCrowded(): boolean {
    return this.#waiting >= this.#limits.waitingMax;
  }

  /** This user has as many turns waiting as one may. */
  isCrowdedBy(user: string): boolean {
    return (this.#users.get(user)?.waiting.size ?? 0) >= this.#limits.waitingPerUserMax;
  }

  /** Resolves to true when it is this one's turn: it must `leave`. To false when its signal aborts before that. */
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

  /** The place goes to the user who waited longest, once whatever else is due has had its turn. */
  leave(user: string): void {
    const turns = this.#turnsOf(user);
    turns.inside -= 1;
    this.#forgetIfIdle(user, turns);
    if (this.#waiting === 0) {
      this.#inside -= 1;
      return;
    }
    // Its place is not free meanwhile: whoever comes now waits behind those who wait already.
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
    // Behind all other users from here on.
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
