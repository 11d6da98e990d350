// Many deadlines on one timer. To move a deadline later costs one map write, because that happens all the time: each
// write to a topic extends its TTL. The outdated heap entry is checked when it comes up.
import type { Clock, Timer } from '../../base/clock.ts';
import { SLICE_LIMITS, TurnSlice } from '../../base/turn-slice.ts';

/** The heap may hold this many outdated entries beyond the number of live ones before it is rebuilt. */
const OUTDATED_MAX = 64;

interface Entry<K> {
  readonly key: K;
  readonly at: number;
}

export class Deadlines<K> {
  readonly #clock: Clock;
  readonly #onDue: (key: K) => void;
  readonly #due = new Map<K, number>();
  /** For each key, the one heap entry that counts: it is not later than the key's deadline. Other entries of the key
   *  are outdated. */
  readonly #queued = new Map<K, Entry<K>>();
  #heap: Entry<K>[] = [];
  readonly #slice: TurnSlice;
  #timer: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(clock: Clock, onDue: (key: K) => void) {
    this.#clock = clock;
    this.#slice = new TurnSlice(clock, SLICE_LIMITS);
    this.#onDue = onDue;
  }

  /** Replaces the key's earlier deadline. `at`: monotonic ms. */
  set(key: K, at: number): void {
    this.#due.set(key, at);
    const queued = this.#queued.get(key);
    if (queued === undefined || queued.at > at) this.#queue(key, at);
    this.#arm();
  }

  get(key: K): number | undefined {
    return this.#due.get(key);
  }

  delete(key: K): void {
    this.#due.delete(key);
    this.#queued.delete(key);
    if (this.#heap.length > 2 * this.#queued.size + OUTDATED_MAX) this.#rebuild();
  }

  clear(): void {
    this.#due.clear();
    this.#rebuild();
    this.#timer?.timer.cancel();
    this.#timer = undefined;
  }

  #queue(key: K, at: number): void {
    const entry = { key, at };
    this.#queued.set(key, entry);
    this.#heap.push(entry);
    siftUp(this.#heap);
  }

  #rebuild(): void {
    this.#heap = [];
    this.#queued.clear();
    for (const [key, at] of this.#due) this.#queue(key, at);
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || (this.#timer !== undefined && this.#timer.at <= first.at)) return;
    this.#timer?.timer.cancel();
    const wait = Math.max(0, first.at - this.#clock.mono());
    this.#timer = { at: first.at, timer: this.#clock.after(wait, () => this.#fire()) };
  }

  /** What does not fit into a slice of the turn fires with the next timer, which is due at once. */
  #fire(): void {
    this.#timer = undefined;
    const now = this.#clock.mono();
    const due: K[] = [];
    this.#slice.begin();
    for (let entry = this.#heap[0]; entry !== undefined && entry.at <= now; entry = this.#heap[0]) {
      popFirst(this.#heap);
      if (this.#queued.get(entry.key) === entry) this.#settle(entry.key, now, due);
      if (this.#slice.isOver()) break;
    }
    for (const key of due) this.#onDue(key);
    this.#arm();
  }

  #settle(key: K, now: number, due: K[]): void {
    const at = this.#due.get(key) ?? now;
    if (at > now) {
      this.#queue(key, at);
      return;
    }
    this.delete(key);
    due.push(key);
  }
}

function siftUp<K>(heap: Entry<K>[]): void {
  let at = heap.length - 1;
  for (;;) {
    const parent = (at - 1) >> 1;
    if (parent < 0 || !swapIfEarlier(heap, at, parent)) return;
    at = parent;
  }
}

function popFirst<K>(heap: Entry<K>[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  heap[0] = last;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const child = (heap[left + 1]?.at ?? Infinity) < (heap[left]?.at ?? Infinity) ? left + 1 : left;
    if (!swapIfEarlier(heap, child, at)) return;
    at = child;
  }
}

function swapIfEarlier<K>(heap: Entry<K>[], child: number, parent: number): boolean {
  const below = heap[child];
  const above = heap[parent];
  if (below === undefined || above === undefined || below.at >= above.at) return false;
  heap[child] = above;
  heap[parent] = below;
  return true;
}
