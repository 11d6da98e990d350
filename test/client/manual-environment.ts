// Time, chance and wake signals under the control of a test. Time stands still, except for waits below a bound that the
// test gives: those end as soon as the sockets had their turn, and the time moves on by as much.
import type { Environment, WakeReason } from '../../src/client/environment.ts';

interface Due {
  readonly at: number;
  readonly callback: () => void;
}

export class ManualEnvironment implements Environment {
  online = true;
  randomValue = 0;
  /** The number of frames that were drawn. */
  frames = 0;
  readonly #hurryUpToMs: number;
  readonly #timers = new Set<Due>();
  readonly #listeners = new Set<(reason: WakeReason) => void>();
  #now = Date.parse('2026-01-01T00:00:00Z');

  /** @param hurryUpToMs waits up to this long end by themselves; -1: none does */
  constructor(hurryUpToMs = -1) {
    this.#hurryUpToMs = hurryUpToMs;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.randomValue;
  }

  isOnline(): boolean {
    return this.online;
  }

  after(ms: number, callback: () => void): () => void {
    const due: Due = { at: this.#now + ms, callback };
    this.#timers.add(due);
    if (ms <= this.#hurryUpToMs) setImmediate(() => this.#fire(due));
    return () => this.#timers.delete(due);
  }

  frame(callback: () => void): () => void {
    let on = true;
    queueMicrotask(() => {
      if (!on) return;
      this.frames += 1;
      callback();
    });
    return () => (on = false);
  }

  onWake(listener: (reason: WakeReason) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  wake(reason: WakeReason): void {
    for (const listener of this.#listeners) listener(reason);
  }

  /** Moves time, and fires the due timers in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = [...this.#timers].filter((due) => due.at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#fire(next);
    }
    this.#now = until;
  }

  /** Lets time pass without firing a timer, as when the device sleeps. */
  sleep(ms: number): void {
    this.#now += ms;
  }

  get waits(): readonly number[] {
    return [...this.#timers].map((due) => due.at - this.#now);
  }

  #fire(due: Due): void {
    if (!this.#timers.delete(due)) return;
    this.#now = Math.max(this.#now, due.at);
    due.callback();
  }
}
