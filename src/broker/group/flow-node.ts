// The records of flows in one priority: a tree with one node for each part of a flow's path. An inner flow decides
// which of its own flows is next; a leaf has the items that wait. Weights and charges come from fair-class.ts.
import type { FlowGate, ParkedFlow } from './flow-gate.ts';
import { RankedQueue, type Place } from './ranked-queue.ts';
import { VirtualHeap, type HeapMember } from './virtual-heap.ts';

/** An item in a class: waiting while it has a place, held from `take` to `settle`. */
export class FairItem<T> {
  readonly value: T;
  leaf: LeafFlow<T> | undefined;
  place: Place<FairItem<T>> | undefined;
  /** Tokens reported so far; undefined until the first report. */
  used: number | undefined;
  /** What its flows were charged so far: a guess when the item was taken, and what was reported above it. */
  charged = 0;

  constructor(value: T) {
    this.value = value;
  }
}

const NOTHING = (): void => undefined;

export type FlowNode<T> = LeafFlow<T> | InnerFlow<T>;

export type FlowStart<T> = Pick<FlowRecord<T>, 'path' | 'key' | 'parent' | 'weight' | 'gate' | 'guess'>;

/** One flow among the flows of its parent. */
class FlowRecord<T> implements HeapMember, ParkedFlow {
  /** The path up to here, and its key among the flows of its parent. */
  readonly path: string;
  readonly key: string;
  readonly parent: InnerFlow<T> | undefined;
  readonly weight: number;
  readonly gate: FlowGate | undefined;
  virtual = 0;
  turn = 0;
  heapAt = -1;
  /** The floor when it last came back: corrections do not go below. */
  least = 0;
  /** Items that wait in it, those of them that no parked flow inside it holds back, and deliveries held in it. */
  size = 0;
  open = 0;
  held = 0;
  /** Parked: it has items, and waits for a gate. */
  state: 'ready' | 'parked' | 'resting' | undefined;
  parkedAt: FlowGate | undefined;
  /** Only while it is parked. */
  schedule: unknown;
  unpark: () => void = NOTHING;
  /** Moving mean of what its deliveries cost. */
  guess: number;

  constructor({ path, key, parent, weight, gate, guess }: FlowStart<T>) {
    this.path = path;
    this.key = key;
    this.parent = parent;
    this.weight = weight;
    this.gate = gate;
    this.guess = guess;
  }
}

export class LeafFlow<T> extends FlowRecord<T> {
  readonly queue = new RankedQueue<FairItem<T>>();
}

export class InnerFlow<T> extends FlowRecord<T> {
  /** By the part of the path; the key of an inner flow ends with a slash. */
  readonly flows = new Map<string, FlowNode<T>>();
  /** Flows with waiting items. */
  readonly ready = new VirtualHeap<FlowNode<T>>();
  /** Flows with nothing waiting and nothing held. */
  readonly resting = new VirtualHeap<FlowNode<T>>();
  /** The virtual time last served. */
  #served = 0;
  #turns = 0;

  /** The least virtual time at which a flow that comes back begins. */
  get floor(): number {
    return Math.min(this.ready.first?.virtual ?? Infinity, this.#served);
  }

  /** The flow had nothing waiting, and an item comes. */
  enter(flow: FlowNode<T>): void {
    if (flow.state === 'resting') this.resting.delete(flow);
    flow.state = 'ready';
    flow.least = this.floor;
    flow.virtual = Math.max(flow.virtual, flow.least);
    flow.turn = this.#turns += 1;
    this.ready.add(flow);
  }

  leave(flow: FlowNode<T>): void {
    this.ready.delete(flow);
    flow.state = undefined;
  }

  /** The flow's next item is taken. */
  serve(flow: FlowNode<T>): void {
    this.#served = Math.max(this.#served, flow.virtual);
    flow.held += 1;
    flow.turn = this.#turns += 1;
  }

  charge(flow: FlowNode<T>, tokens: number): void {
    flow.virtual = Math.max(flow.least, flow.virtual + tokens / flow.weight);
    if (flow.state === 'ready') this.ready.moved(flow);
    if (this.ready.first === undefined) this.#served = Math.max(this.#served, flow.virtual);
  }

  /** The flow has nothing waiting and nothing held. */
  rest(flow: FlowNode<T>): void {
    flow.state = 'resting';
    this.resting.add(flow);
  }

  drop(flow: FlowNode<T>): void {
    this.resting.delete(flow);
    this.flows.delete(flow.key);
  }

  /** Forgets its flows, of which none has anything waiting or held. */
  clear(): void {
    this.flows.clear();
    this.resting.clear();
  }
}
