// The order in which a group serves its waiting topics: three priorities, and in each a fair order between flows,
// counted in model tokens (fair-class.ts). Pure: it has no clock, timer or storage; time is an argument. Invariants:
//  - An item is at most one of: waiting, held. It is held from `take` to `settle`.
//  - If anything waits that has reached no limit (flow-gates.ts), `take` returns something.
//  - Of one flow and one priority, the item that has waited longest is first.
import type { Priority, WaitingCounts } from '../broker.ts';
import { FairClass, MEAN_GAIN } from './fair-class.ts';
import type { FlowLimits } from './flow-gates.ts';
import { FairItem } from './flow-node.ts';
import { PRIORITIES, PriorityOrder } from './ready-list.ts';
import { placeOf, waitMsOf, type QueuePlace } from '../flow-policy.ts';

/** A priority that has waited this long without a delivery is served next. Whole priorities age, and not single items:
 *  if items went up, a flow with long answers, which is served seldom, would get more than its share. */
export const AGE_MS = 30_000;

const NO_LIMITS: FlowLimits = {
  policyOf: () => ({}),
  acquire: () => undefined,
  release: () => undefined,
  closedBy: () => undefined,
  park: () => undefined,
  forget: () => undefined,
  changed: () => undefined,
};

export interface ScheduleOptions {
  /** Default: all flows have the same weight, and no limits. */
  readonly limits?: FlowLimits;
  /** A flow that had reached a limit came back, so `take` may return something. */
  readonly onReady?: () => void;
}

interface Scheduled<T> {
  readonly item: FairItem<T>;
  readonly priority: Priority;
}

export class Schedule<T> {
  readonly #classes: Readonly<Record<Priority, FairClass<T>>>;
  readonly #order = new PriorityOrder();
  /** ms at which each priority was last served, or came to wait. */
  readonly #since: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #waiting = new Map<T, Scheduled<T>>();
  readonly #held = new Map<T, Scheduled<T> & { readonly takenAt: number }>();
  /** Moving mean of how long an item is held. */
  #meanMs: number | undefined;

  constructor({ limits = NO_LIMITS, onReady = () => undefined }: ScheduleOptions = {}) {
    this.#classes = {
      high: new FairClass<T>({ limits, onReady }),
      normal: new FairClass<T>({ limits, onReady }),
      low: new FairClass<T>({ limits, onReady }),
    };
  }

  /** Items waiting. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Items waiting by priority: in all flows, or in those whose path begins with this name. */
  countWaiting(flow?: string): WaitingCounts {
    const { high, normal, low } = this.#classes;
    const count = (one: FairClass<T>): number => (flow === undefined ? one.size : one.sizeOf(flow));
    return { high: count(high), normal: count(normal), low: count(low) };
  }

  /** Records of flows that are kept, over all priorities. */
  get flows(): number {
    return PRIORITIES.reduce((sum, priority) => sum + this.#classes[priority].flows, 0);
  }

  /** An item that waits already keeps its position, unless its priority is another one. `now`: monotonic ms. */
  add(value: T, flow: string, priority: Priority, now: number): void {
    const known = this.#waiting.get(value);
    if (known?.priority === priority) return;
    if (known !== undefined) this.delete(value);
    const item = new FairItem(value);
    this.#waiting.set(value, { item, priority });
    if (this.#classes[priority].size === 0) this.#since[priority] = now;
    this.#classes[priority].add(item, flow);
  }

  /** Removes an item that waits. */
  delete(value: T): void {
    const known = this.#waiting.get(value);
    if (known === undefined) return;
    this.#waiting.delete(value);
    this.#classes[known.priority].remove(known.item);
  }

  /** Takes the next item. The caller settles it before it adds it again. Undefined: nothing waits, or what waits has
   *  reached a limit. */
  take(now: number): T | undefined {
    if (this.#waiting.size === 0) return undefined;
    const ready = PRIORITIES.filter((one) => this.#classes[one].isReady(now));
    const aged = this.#aged(ready, now);
    const priority = this.#order.next((one) => (aged === undefined ? ready.includes(one) : one === aged));
    const item = priority && this.#classes[priority].take(now);
    if (priority === undefined || item === undefined) return undefined;
    this.#since[priority] = now;
    this.#waiting.delete(item.value);
    this.#held.set(item.value, { item, priority, takenAt: now });
    return item.value;
  }

  /** The model tokens that a held item has cost so far. No effect on an item that is not held, nor for a negative
   *  number. */
  charge(value: T, tokens: number, now: number): void {
    const held = this.#held.get(value);
    if (held !== undefined && tokens >= 0) this.#classes[held.priority].report(held.item, tokens, now);
  }

  /** Ends a holding: what was charged replaces the guess; without a charge the guess is the cost. `unused`: the item
   *  was not served after all, and costs nothing. No effect on an item that is not held. */
  settle(value: T, now: number, how: 'served' | 'unused' = 'served'): void {
    const held = this.#held.get(value);
    if (held === undefined) return;
    this.#held.delete(value);
    if (how === 'served') {
      const ms = now - held.takenAt;
      this.#meanMs = this.#meanMs === undefined ? ms : this.#meanMs + MEAN_GAIN * (ms - this.#meanMs);
    }
    this.#classes[held.priority].settle(held.item, now, how);
  }

  /** For each of these items that waits, the number of items ahead of it: those of higher priorities, and those that
   *  the fair order takes first if each costs what is guessed; and when it is taken, if each takes as long as those
   *  before. It does not foresee the share of a lower priority, nor aging, nor what comes later. */
  countBefore(values: Iterable<T>, now: number): ReadonlyMap<T, QueuePlace> {
    const counts = new Map<T, QueuePlace>();
    const known = [...values].flatMap((value) => this.#waiting.get(value) ?? []);
    const service = { held: this.#held.size, meanMs: this.#meanMs };
    let higher = 0;
    for (const priority of PRIORITIES) {
      const items = known.filter((one) => one.priority === priority).map(({ item }) => item);
      const places = this.#classes[priority].countBefore(items, now);
      for (const [i, { ahead, limits, isPaused }] of places.entries()) {
        const waitMs = isPaused ? undefined : waitMsOf(higher + ahead, service, limits);
        const value = items[i]?.value;
        if (value !== undefined) counts.set(value, placeOf(higher + ahead, waitMs));
      }
      higher += this.#classes[priority].open;
    }
    return counts;
  }

  /** The priority that has waited longest, if that is too long. */
  #aged(ready: readonly Priority[], now: number): Priority | undefined {
    let aged: Priority | undefined;
    for (const one of ready) {
      if (now - this.#since[one] < AGE_MS) continue;
      if (aged === undefined || this.#since[one] < this.#since[aged]) aged = one;
    }
    return aged;
  }
}
