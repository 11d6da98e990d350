// A clock that the test moves. `advance` fires the due timers in order, and lets everything that follows from each one
// happen before the next, so that a test reads as if real time had passed.
import type { Clock, Timer } from '../../src/base/clock.ts';
import { turn } from './wait-for.ts';

interface Pending {
  readonly at: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #mono = 1000;
  #wall = Date.UTC(2026, 0, 1);
  readonly #pending = new Set<Pending>();

  now(): number {
    return this.#wall;
  }

  mono(): number {
    return this.#mono;
  }

  after(ms: number, callback: () => void): Timer {
    const pending = { at: this.#mono + ms, callback };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** The number of timers that have neither fired nor been cancelled. */
  get timers(): number {
    return this.#pending.size;
  }

  async advance(ms: number): Promise<void> {
    const target = this.#mono + ms;
    await settle();
    for (let due = this.#firstDue(target); due !== undefined; due = this.#firstDue(target)) {
      this.#pending.delete(due);
      this.#moveTo(Math.max(due.at, this.#mono));
      due.callback();
      await settle();
    }
    this.#moveTo(target);
  }

  /** Sets the wall clock; no time passes. */
  jumpWall(ms: number): void {
    this.#wall += ms;
  }

  #firstDue(target: number): Pending | undefined {
    let first: Pending | undefined;
    for (const one of this.#pending) if (one.at <= target && (first === undefined || one.at < first.at)) first = one;
    return first;
  }

  #moveTo(mono: number): void {
    this.#wall += mono - this.#mono;
    this.#mono = mono;
  }
}

/** Several rounds, because what a timer resolves may resolve something else. */
async function settle(): Promise<void> {
  for (let round = 0; round < 3; round += 1) await turn();
}
