// Lists of what is ready, in the order in which it became ready. An item is in the list at most once, the list has no
// limit of its own, and every step is O(1), even when ten thousand items become ready at once. (Taking the first
// element of a Set again and again walks over the elements deleted before it.)
import type { Priority } from '../broker.ts';

interface Node<T> {
  readonly item: T;
  before: Node<T> | undefined;
  after: Node<T> | undefined;
}

export class ReadyList<T> {
  readonly #nodes = new Map<T, Node<T>>();
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;

  get size(): number {
    return this.#nodes.size;
  }

  has(item: T): boolean {
    return this.#nodes.has(item);
  }

  /** Adds an item at the end. An item that is in the list already keeps its position. */
  add(item: T): void {
    if (this.#nodes.has(item)) return;
    const node: Node<T> = { item, before: this.#last, after: undefined };
    this.#nodes.set(item, node);
    if (this.#last === undefined) this.#first = node;
    else this.#last.after = node;
    this.#last = node;
  }

  take(): T | undefined {
    const item = this.#first?.item;
    if (item !== undefined) this.delete(item);
    return item;
  }

  delete(item: T): void {
    const node = this.#nodes.get(item);
    if (node === undefined) return;
    this.#nodes.delete(item);
    if (node.before === undefined) this.#first = node.after;
    else node.before.after = node.after;
    if (node.after === undefined) this.#last = node.before;
    else node.after.before = node.before;
  }
}

/** Highest first. */
export const PRIORITIES = ['high', 'normal', 'low'] as const satisfies readonly Priority[];
/** A priority that has waiting items is served after it was passed over this often, so it gets at least a ninth. */
export const PASSED_OVER_MAX = 8;

/** Decides which priority is served next: the highest with waiting items, except that none is passed over too often. */
export class PriorityOrder {
  readonly #passedOver = new Map<Priority, number>();

  next(isWaiting: (priority: Priority) => boolean): Priority | undefined {
    const waiting = PRIORITIES.filter((priority) => isWaiting(priority));
    const chosen = waiting.find((priority) => this.#count(priority) >= PASSED_OVER_MAX) ?? waiting[0];
    for (const one of waiting) this.#passedOver.set(one, one === chosen ? 0 : this.#count(one) + 1);
    return chosen;
  }

  #count(priority: Priority): number {
    return this.#passedOver.get(priority) ?? 0;
  }
}
