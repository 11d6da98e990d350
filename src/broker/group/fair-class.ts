// The fair order of one priority: which item is served next. Flows are a tree (`FlowOf`): turns are shared between the
// flows of one level, and inside each flow between its own. Each flow has a virtual time, the model tokens that it was
// charged divided by its weight, and of each level the flow with the least is next; in a flow without flows of its own,
// the item that has waited longest. Rules:
//  - Taking an item charges a guess, the flow's moving mean. What is reported later corrects it. Without the guess, a
//    hundred free slots would all go to one flow before its virtual time moved.
//  - Lift: a flow that comes back with nothing waiting begins no earlier than the flow that was served last, or than
//    the waiting flow that is next if that is earlier. So being idle earns nothing. It is not lifted beyond the flow
//    that was served last: a flow that sends its next item when one is taken would lose a part of a turn with each.
//  - Tokens that are used while no flow waits are no debt.
//  - A flow with nothing waiting and nothing held is kept only while its virtual time is ahead of the others, because
//    the lift would otherwise forgive what it has used; at most RESTING_FLOWS_MAX are kept. What its own flows used is
//    forgotten.
import type { FlowPolicyOf } from '../flow-policy.ts';
import type { FairItem } from './flow-node.ts';
import { InnerFlow, LeafFlow, type FlowNode } from './flow-node.ts';

/** Flows with nothing waiting and nothing held whose virtual time is kept, in one class. */
export const RESTING_FLOWS_MAX = 10_000;
/** Model tokens that a delivery is charged at least, so that free deliveries cannot keep a flow first. */
export const COST_MIN = 16;
/** Model tokens that a delivery is charged at most: more is a fault of whoever reports it, and would block the flow. */
export const COST_MAX = 10_000_000;
/** Flows of one level of which each is counted for a queue position. */
export const FLOWS_COUNTED_MAX = 256;
/** The guess before anything was reported. */
export const FIRST_GUESS = 500;
/** How much one report moves the mean. */
export const MEAN_GAIN = 0.2;

export class FairClass<T> {
  readonly #policyOf: FlowPolicyOf;
  readonly #root = new InnerFlow<T>('', undefined, 1, FIRST_GUESS);
  #flows = 0;
  #resting = 0;

  constructor(policyOf: FlowPolicyOf) {
    this.#policyOf = policyOf;
  }

  /** Items waiting. */
  get size(): number {
    return this.#root.size;
  }

  /** Flows with a record here. */
  get flows(): number {
    return this.#flows;
  }

  /** `flow`: a path of names with slashes between them. */
  add(item: FairItem<T>, flow: string): void {
    const leaf = this.#leafOf(flow);
    item.leaf = leaf;
    item.place = leaf.queue.add(item);
    for (let one: FlowNode<T> | undefined = leaf; one !== undefined; one = one.parent) one.size += 1;
    if (leaf.queue.length === 1) this.#enter(leaf);
  }

  /** Takes the next item; it is held until `settle`. */
  take(): FairItem<T> | undefined {
    const leaf = this.#next();
    const item = leaf?.queue.first();
    if (leaf === undefined || item === undefined) return undefined;
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) one.parent.serve(one);
    this.#unqueue(item, leaf);
    item.guess = leaf.guess;
    this.#charge(leaf, item.guess);
    return item;
  }

  /** Removes an item that waits. */
  remove(item: FairItem<T>): void {
    const { leaf } = item;
    if (leaf === undefined || item.place === undefined) return;
    this.#unqueue(item, leaf);
    item.leaf = undefined;
    this.#rest(leaf);
  }

  /** Adds to what a held item has cost. It counts when the item is settled. */
  report(item: FairItem<T>, tokens: number): void {
    item.used = Math.min(COST_MAX, (item.used ?? 0) + tokens);
  }

  /** Ends a holding. What was reported replaces the guess; without a report the guess stays. `unused`: the item was
   *  not served at all. */
  settle(item: FairItem<T>, how: 'served' | 'unused'): void {
    const { leaf, used } = item;
    if (leaf === undefined) return;
    if (how === 'unused') this.#charge(leaf, -item.guess);
    else if (used !== undefined) {
      const cost = Math.max(COST_MIN, used);
      this.#charge(leaf, cost - item.guess);
      for (let one: FlowNode<T> | undefined = leaf; one !== undefined; one = one.parent)
        one.guess += MEAN_GAIN * (cost - one.guess);
    }
    item.leaf = undefined;
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) one.held -= 1;
    this.#rest(leaf);
  }

  /** For each of these waiting items the number of items ahead of it, if each delivery costs what is guessed. Of more
   *  than FLOWS_COUNTED_MAX flows of one level a sample is counted. */
  countBefore(items: readonly FairItem<T>[]): readonly number[] {
    return items.map(({ leaf, place }) => {
      if (leaf === undefined || place === undefined) return 0;
      let rank = leaf.queue.rank(place);
      for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) rank += countOthers(one, rank);
      return rank;
    });
  }

  #leafOf(flow: string): LeafFlow<T> {
    let inner = this.#root;
    for (let from = 0; ;) {
      const end = flow.indexOf('/', from);
      const path = end < 0 ? flow : flow.slice(0, end);
      // An inner flow's key ends with the slash, so a flow may be a leaf beside an inner flow of the same name.
      const key = end < 0 ? flow.slice(from) : flow.slice(from, end + 1);
      const known = inner.flows.get(key);
      if (end < 0) return known instanceof LeafFlow ? known : this.#newLeaf(key, path, inner);
      inner = known instanceof InnerFlow ? known : this.#newInner(key, path, inner);
      from = end + 1;
    }
  }

  #newLeaf(key: string, path: string, parent: InnerFlow<T>): LeafFlow<T> {
    const leaf = new LeafFlow<T>(key, parent, this.#policyOf(path).weight ?? 1, parent.guess);
    parent.flows.set(key, leaf);
    this.#flows += 1;
    return leaf;
  }

  #newInner(key: string, path: string, parent: InnerFlow<T>): InnerFlow<T> {
    const inner = new InnerFlow<T>(key, parent, this.#policyOf(path).weight ?? 1, parent.guess);
    parent.flows.set(key, inner);
    this.#flows += 1;
    return inner;
  }

  #next(): LeafFlow<T> | undefined {
    let node: FlowNode<T> | undefined = this.#root;
    while (node instanceof InnerFlow) node = node.ready.first;
    return node;
  }

  /** The flow becomes ready, and so does each flow around it that was not. */
  #enter(flow: FlowNode<T>): void {
    for (let one = flow; one.parent !== undefined; one = one.parent) {
      const wasReady = one.parent.ready.first !== undefined;
      if (one.list === 'resting') this.#resting -= 1;
      one.parent.enter(one);
      if (wasReady) return;
    }
  }

  #unqueue(item: FairItem<T>, leaf: LeafFlow<T>): void {
    if (item.place === undefined) return;
    leaf.queue.delete(item.place);
    item.place = undefined;
    for (let one: FlowNode<T> | undefined = leaf; one !== undefined; one = one.parent) one.size -= 1;
    if (leaf.queue.length > 0) return;
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) {
      one.parent.leave(one);
      if (one.parent.ready.first !== undefined) return;
    }
  }

  /** Charges the flow and each flow around it. */
  #charge(leaf: LeafFlow<T>, tokens: number): void {
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) {
      one.parent.charge(one, tokens);
      this.#dropRested(one.parent);
    }
  }

  /** Keeps the widest flow around this one with nothing waiting and nothing held only as long as it is ahead of the
   *  others, and drops the flows inside it. */
  #rest(leaf: LeafFlow<T>): void {
    let idle: FlowNode<T> | undefined;
    for (let one: FlowNode<T> = leaf; one.parent !== undefined && one.size === 0 && one.held === 0; one = one.parent)
      idle = one;
    if (idle?.parent === undefined || idle.list === 'resting') return;
    if (idle instanceof InnerFlow) this.#clear(idle);
    const { parent } = idle;
    parent.rest(idle);
    this.#resting += 1;
    this.#dropRested(parent);
    const first = parent.resting.first;
    if (first !== undefined && this.#resting > RESTING_FLOWS_MAX) this.#drop(first, parent);
  }

  /** Drops the flows inside a flow with nothing waiting and nothing held. */
  #clear(flow: InnerFlow<T>): void {
    for (const one of flow.flows.values()) if (one instanceof InnerFlow) this.#clear(one);
    this.#flows -= flow.flows.size;
    this.#resting -= flow.resting.members.length;
    flow.clear();
  }

  #dropRested(parent: InnerFlow<T>): void {
    for (let first = parent.resting.first; first !== undefined; first = parent.resting.first) {
      if (first.virtual > parent.floor) return;
      this.#drop(first, parent);
    }
  }

  #drop(flow: FlowNode<T>, parent: InnerFlow<T>): void {
    parent.drop(flow);
    this.#resting -= 1;
    this.#flows -= 1;
  }
}

/** How many items of the other flows of its level are taken before the item of this flow at this rank. */
function countOthers<T>(flow: FlowNode<T>, rank: number): number {
  const flows = flow.parent?.ready.members ?? [];
  const stride = Math.ceil(flows.length / FLOWS_COUNTED_MAX);
  let others = 0;
  for (let i = 0; i < flows.length; i += stride) {
    const other = flows[i];
    if (other !== undefined && other !== flow) others += servedBefore(other, flow, rank);
  }
  return others * stride;
}

/** What decides how many items of a flow are served before an item of another. */
export interface FlowOrder {
  readonly virtual: number;
  readonly turn: number;
  readonly weight: number;
  readonly guess: number;
  /** Items that wait in it. */
  readonly size: number;
}

/** How many items of `other` are taken before the item of `flow` at this rank. */
export function servedBefore(other: FlowOrder, flow: FlowOrder, rank: number): number {
  const ahead = flow.virtual + (rank * flow.guess) / flow.weight - other.virtual;
  if (ahead < 0) return 0;
  const turns = (ahead * other.weight) / other.guess;
  let before = Math.ceil(turns);
  // At the same virtual time: the flow that was taken fewer times to get there, then the earlier turn.
  if (before === turns && (before < rank || (before === rank && other.turn < flow.turn))) before += 1;
  return Math.min(other.size, before);
}
