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
import type { FlowGate } from './flow-gate.ts';
import type { FlowLimits } from './flow-gates.ts';
import type { FairItem, FlowStart } from './flow-node.ts';
import type { FlowLimit } from '../flow-policy.ts';
import { InnerFlow, LeafFlow, type FlowNode } from './flow-node.ts';

/** Flows with nothing waiting and nothing held whose virtual time is kept, in one class. */
export const RESTING_FLOWS_MAX = 10_000;
/** Model tokens that a delivery is charged at least, so that free deliveries cannot keep a flow first. */
export const COST_MIN = 16;
/** Model tokens that a delivery is charged at most: more is a fault of whoever reports it, and would block the flow. */
export const COST_MAX = 10_000_000;
/** Flows of one level of which each is counted for a queue position. */
export const FLOWS_COUNTED_MAX = 256;
/** The guess before anything was reported: less than what nearly every run costs. A guess that is too low gives a flow
 *  that comes later at most one turn for each item that is held. A guess that is too high is given back to the flow
 *  that holds the items after the other flow has begun level with it, and is worth many turns. */
export const FIRST_GUESS = 64;
/** How much one report moves the mean. */
export const MEAN_GAIN = 0.2;

/** The place of an item in its class. */
export interface FairPlace {
  readonly ahead: number;
  /** Of its flow and of the flows around it. */
  readonly limits: readonly FlowLimit[];
  readonly isPaused: boolean;
}

export interface ClassOptions {
  readonly limits: FlowLimits;
  /** A parked flow came back, so there may be something to take. */
  readonly onReady: () => void;
}

export class FairClass<T> {
  readonly #limits: FlowLimits;
  readonly #onReady: () => void;
  /** Has one flow, the root: the group itself, which may have limits as every flow. */
  readonly #top = new InnerFlow<T>({
    path: '',
    key: '',
    parent: undefined,
    weight: 1,
    gate: undefined,
    guess: FIRST_GUESS,
  });
  readonly #root: InnerFlow<T>;
  #flows = 0;
  #resting = 0;

  constructor({ limits, onReady }: ClassOptions) {
    this.#limits = limits;
    this.#onReady = onReady;
    this.#root = this.#newInner('/', '', this.#top);
    this.#flows = 0;
  }

  /** Items waiting. */
  get size(): number {
    return this.#root.size;
  }

  /** Items waiting in the flows whose path begins with this name. */
  sizeOf(name: string): number {
    return (this.#root.flows.get(`${name}/`)?.size ?? 0) + (this.#root.flows.get(name)?.size ?? 0);
  }

  /** Items waiting that no limit holds back, as far as is known: a limit is found when it is reached. */
  get open(): number {
    return this.#top.open;
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
    addOpen(leaf, 1);
    if (leaf.queue.length === 1) this.#enter(leaf);
  }

  /** Whether something can be taken now. Parks the flows in front that have reached a limit. */
  isReady(now: number): boolean {
    for (let node: FlowNode<T> | undefined = this.#top.ready.first; node !== undefined;) {
      const gate = this.#limits.closedBy(node.path, node.gate, now);
      if (gate !== undefined) {
        this.#park(node, gate);
        node = this.#top.ready.first;
      } else if (node instanceof LeafFlow) return true;
      else node = node.ready.first;
    }
    return false;
  }

  /** Takes the next item; it is held until `settle`. Only after `isReady`. */
  take(now: number): FairItem<T> | undefined {
    const leaf = this.#next();
    const item = leaf?.queue.first();
    if (leaf === undefined || item === undefined) return undefined;
    item.charged = leaf.guess;
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) {
      one.parent.serve(one);
      one.gate?.take(item.charged, now);
    }
    this.#unqueue(item, leaf);
    this.#charge(leaf, item.charged);
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

  /** What a held item has cost so far. What is above its guess counts at once, and the rest when it is settled. */
  report(item: FairItem<T>, tokens: number, now: number): void {
    const { leaf } = item;
    item.used = Math.min(COST_MAX, tokens);
    const more = item.used - item.charged;
    if (leaf === undefined || more <= 0) return;
    item.charged = item.used;
    this.#charge(leaf, more);
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) one.gate?.correct(more, now);
  }

  /** Ends a holding. What was reported replaces the guess; without a report the guess stays. `unused`: the item was
   *  not served at all. */
  settle(item: FairItem<T>, now: number, how: 'served' | 'unused'): void {
    const { leaf, used, charged } = item;
    if (leaf === undefined) return;
    const cost = how === 'unused' ? 0 : used === undefined ? charged : Math.max(COST_MIN, used);
    this.#charge(leaf, cost - charged);
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) {
      if (how === 'served' && used !== undefined) one.guess += MEAN_GAIN * (cost - one.guess);
      one.held -= 1;
      one.gate?.settle(cost - charged, now, how);
    }
    item.leaf = undefined;
    for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent)
      if (one.gate !== undefined) this.#limits.changed(one.gate);
    this.#rest(leaf);
  }

  /** For each of these waiting items the number of items ahead of it, if each delivery costs what is guessed. Of more
   *  than FLOWS_COUNTED_MAX flows of one level a sample is counted, without those that have reached a limit. */
  countBefore(items: readonly FairItem<T>[], now: number): readonly FairPlace[] {
    const isClosed = ({ path, gate }: FlowNode<T>): boolean => this.#limits.closedBy(path, gate, now) !== undefined;
    return items.map(({ leaf, place }) => {
      if (leaf === undefined || place === undefined) return { ahead: 0, limits: [], isPaused: false };
      const limits: FlowLimit[] = [];
      let ahead = leaf.queue.rank(place);
      let isPaused = false;
      for (let one: FlowNode<T> = leaf; one.parent !== undefined; one = one.parent) {
        if (one.gate !== undefined) limits.push(one.gate.limit(ahead, one.guess, now));
        isPaused ||= this.#limits.closedBy(one.path, one.gate, now)?.isPaused === true;
        ahead += countOthers(one, ahead, isClosed);
      }
      return { ahead, limits, isPaused };
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
    const leaf = new LeafFlow<T>(this.#start(key, path, parent));
    parent.flows.set(key, leaf);
    this.#flows += 1;
    return leaf;
  }

  #newInner(key: string, path: string, parent: InnerFlow<T>): InnerFlow<T> {
    const inner = new InnerFlow<T>(this.#start(key, path, parent));
    parent.flows.set(key, inner);
    this.#flows += 1;
    return inner;
  }

  #start(key: string, path: string, parent: InnerFlow<T>): FlowStart<T> {
    const { weight = 1 } = this.#limits.policyOf(path);
    return { path, key, parent, weight, gate: this.#limits.acquire(path), guess: parent.guess };
  }

  #next(): LeafFlow<T> | undefined {
    let node: FlowNode<T> | undefined = this.#top;
    while (node instanceof InnerFlow) node = node.ready.first;
    return node;
  }

  /** The flow becomes ready, and so does each flow around it that was not, up to one that is parked. */
  #enter(flow: FlowNode<T>): void {
    for (let one = flow; one.parent !== undefined && one.state !== 'parked'; one = one.parent) {
      const wasReady = one.parent.ready.first !== undefined;
      if (one.state === 'resting') this.#resting -= 1;
      one.parent.enter(one);
      if (wasReady) return;
    }
  }

  /** The flow has nothing to serve, nor has each flow around it that had only this one. */
  #leave(flow: FlowNode<T>): void {
    for (let one = flow; one.parent !== undefined; one = one.parent) {
      if (one.parkedAt !== undefined) {
        this.#limits.forget(one.parkedAt, one);
        one.parkedAt = undefined;
        one.state = undefined;
        return;
      }
      one.parent.leave(one);
      if (one.parent.ready.first !== undefined) return;
    }
  }

  #park(flow: FlowNode<T>, gate: FlowGate): void {
    this.#leave(flow);
    flow.state = 'parked';
    flow.parkedAt = gate;
    flow.schedule = this.#onReady;
    if (flow.parent !== undefined) addOpen(flow.parent, -flow.open);
    flow.unpark = () => {
      flow.state = undefined;
      flow.parkedAt = undefined;
      if (flow.parent !== undefined) addOpen(flow.parent, flow.open);
      this.#enter(flow);
      this.#onReady();
    };
    this.#limits.park(gate, flow);
  }

  #unqueue(item: FairItem<T>, leaf: LeafFlow<T>): void {
    if (item.place === undefined) return;
    leaf.queue.delete(item.place);
    item.place = undefined;
    for (let one: FlowNode<T> | undefined = leaf; one !== undefined; one = one.parent) one.size -= 1;
    addOpen(leaf, -1);
    if (leaf.queue.length === 0) this.#leave(leaf);
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
    for (let one: FlowNode<T> | undefined = leaf; one !== undefined && one !== this.#root; one = one.parent) {
      if (one.size > 0 || one.held > 0) break;
      idle = one;
    }
    if (idle?.parent === undefined || idle.state === 'resting') return;
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
    for (const one of flow.flows.values()) {
      if (one instanceof InnerFlow) this.#clear(one);
      if (one.gate !== undefined) this.#limits.release(one.gate);
    }
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
    if (flow.gate !== undefined) this.#limits.release(flow.gate);
  }
}

/** Counts items that a flow has to serve, in the flows around it too, up to one that is parked. */
function addOpen<T>(flow: FlowNode<T>, count: number): void {
  for (let one: FlowNode<T> | undefined = flow; one !== undefined; one = one.parent) {
    one.open += count;
    if (one.state === 'parked') return;
  }
}

/** How many items of the other flows of its level are taken before the item of this flow at this rank. */
function countOthers<T>(flow: FlowNode<T>, rank: number, isClosed: (other: FlowNode<T>) => boolean): number {
  const flows = flow.parent?.ready.members ?? [];
  const stride = Math.ceil(flows.length / FLOWS_COUNTED_MAX);
  let others = 0;
  for (let i = 0; i < flows.length; i += stride) {
    const other = flows[i];
    if (other !== undefined && other !== flow && !isClosed(other)) others += servedBefore(other, flow, rank);
  }
  return others * stride;
}

/** What decides how many items of a flow are served before an item of another. */
export interface FlowOrder {
  readonly virtual: number;
  readonly turn: number;
  readonly weight: number;
  readonly guess: number;
  /** Items that wait in it and that no limit holds back. */
  readonly open: number;
}

/** How many items of `other` are taken before the item of `flow` at this rank. */
export function servedBefore(other: FlowOrder, flow: FlowOrder, rank: number): number {
  const ahead = flow.virtual + (rank * flow.guess) / flow.weight - other.virtual;
  if (ahead < 0) return 0;
  const turns = (ahead * other.weight) / other.guess;
  let before = Math.ceil(turns);
  // At the same virtual time: the flow that was taken fewer times to get there, then the earlier turn.
  if (before === turns && (before < rank || (before === rank && other.turn < flow.turn))) before += 1;
  return Math.min(other.open, before);
}
