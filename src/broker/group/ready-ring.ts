// Who is ready, in the order in which they became ready: one flag per item, no cap, no duplicates, and every
// step O(1), also for ten thousand that become ready at once. (A Set would do, but taking its first element
// again and again walks over what was deleted before it.)
import type { Priority } from '../broker.ts';

interface Node<T> {
  readonly item: T;
  before: Node<T> | undefined;
  after: Node<T> | undefined;
}

export class ReadyRing<T> {
  readonly #nodes = new Map<T, Node<T>>();
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;

  get size(): number {
    return this.#nodes.size;
  }

  has(item: T): boolean {
    return this.#nodes.has(item);
  }

  /** At the end; an item that waits already keeps its place. */
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

const CLASSES = ['high', 'normal', 'low'] as const satisfies readonly Priority[];
/** A class that waits is served after being passed over this often, so it gets at least a ninth. */
export const PASSED_OVER_MAX = 8;

/** A ring per priority. The higher class first, but none is passed over for ever. */
export class PriorityRings<T> {
  readonly #classes = CLASSES.map((priority) => ({ priority, ring: new ReadyRing<T>(), passedOver: 0 }));

  get size(): number {
    return this.#classes.reduce((sum, { ring }) => sum + ring.size, 0);
  }

  /** An item that waits in another class moves to the end of this one. */
  add(item: T, priority: Priority): void {
    for (const one of this.#classes) {
      if (one.priority === priority) one.ring.add(item);
      else one.ring.delete(item);
    }
  }

  delete(item: T): void {
    for (const { ring } of this.#classes) ring.delete(item);
  }

  take(): T | undefined {
    const waiting = this.#classes.filter(({ ring }) => ring.size > 0);
    const chosen = waiting.find(({ passedOver }) => passedOver >= PASSED_OVER_MAX) ?? waiting[0];
    if (chosen === undefined) return undefined;
    for (const one of waiting) one.passedOver = one === chosen ? 0 : one.passedOver + 1;
    return chosen.ring.take();
  }
}
