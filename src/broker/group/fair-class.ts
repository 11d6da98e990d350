// The fair order of one priority: which flow is served next. Each flow has a virtual time, the model tokens that it was
// charged divided by its weight, and the flow with the least is next; within a flow the item that has waited longest.
// Rules:
//  - Taking an item charges a guess, the flow's moving mean. What is reported later corrects it. Without the guess, a
//    hundred free slots would all go to one flow before its virtual time moved.
//  - Lift: a flow that comes back with nothing waiting begins no earlier than the flow that was served last, or than
//    the waiting flow that is next if that is earlier. So being idle earns nothing. It is not lifted beyond the flow
//    that was served last: a flow that sends its next item when one is taken would lose a part of a turn with each.
//  - Tokens that are used while no flow waits are no debt.
//  - A flow with nothing waiting and nothing held is kept only while its virtual time is ahead of the others, because
//    the lift would otherwise forgive what it has used; at most RESTING_FLOWS_MAX are kept.
import { RankedQueue, type Place } from './ranked-queue.ts';
import { VirtualHeap, type HeapMember } from './virtual-heap.ts';

/** Flows with nothing waiting and nothing held whose virtual time is kept, in one class. */
export const RESTING_FLOWS_MAX = 10_000;
/** Model tokens that a delivery is charged at least, so that free deliveries cannot keep a flow first. */
export const COST_MIN = 16;
/** Model tokens that a delivery is charged at most: more is a fault of whoever reports it, and would block the flow. */
export const COST_MAX = 10_000_000;
/** Flows of which each is counted for a queue position. */
const FLOWS_COUNTED_MAX = 256;
/** The guess before anything was reported. */
export const FIRST_GUESS = 500;
/** How much one report moves the mean. */
const MEAN_GAIN = 0.2;

/** One flow in one class. */
interface FlowShare<T> extends HeapMember {
  readonly flow: string;
  readonly weight: number;
  readonly queue: RankedQueue<FairItem<T>>;
  /** The floor when it last came back: corrections do not go below. */
  least: number;
  held: number;
  isResting: boolean;
  /** Moving mean of what its deliveries cost. */
  guess: number;
}

/** An item in a class: waiting while it has a place, held from `take` to `settle`. */
export class FairItem<T> {
  readonly value: T;
  share: FlowShare<T> | undefined;
  place: Place<FairItem<T>> | undefined;
  /** Tokens reported so far; undefined until the first report. */
  used: number | undefined;
  /** What the flow was charged when the item was taken. */
  guess = 0;

  constructor(value: T) {
    this.value = value;
  }

  /** Adds to what the item has cost while it is held. It counts when the item is settled. */
  charge(tokens: number): void {
    this.used = Math.min(COST_MAX, (this.used ?? 0) + tokens);
  }
}

export class FairClass<T> {
  readonly #weightOf: (flow: string) => number;
  readonly #shares = new Map<string, FlowShare<T>>();
  /** Shares with waiting items. */
  readonly #waiting = new VirtualHeap<FlowShare<T>>();
  /** Shares with nothing waiting and nothing held. */
  readonly #resting = new VirtualHeap<FlowShare<T>>();
  #size = 0;
  /** The virtual time last served. */
  #virtual = 0;
  #turns = 0;
  /** Moving mean of all flows: the guess for a new one. */
  #guess = FIRST_GUESS;

  constructor(weightOf: (flow: string) => number) {
    this.#weightOf = weightOf;
  }

  /** Items waiting. */
  get size(): number {
    return this.#size;
  }

  /** Flows with a record here. */
  get flows(): number {
    return this.#shares.size;
  }

  add(item: FairItem<T>, flow: string): void {
    const share = this.#shares.get(flow) ?? this.#newShare(flow);
    item.share = share;
    item.place = share.queue.add(item);
    if (share.queue.length === 1) this.#enter(share);
    this.#size += 1;
  }

  /** Takes the next item; it is held until `settle`. */
  take(): FairItem<T> | undefined {
    const share = this.#waiting.first;
    const item = share?.queue.first();
    if (share === undefined || item === undefined) return undefined;
    this.#virtual = Math.max(this.#virtual, share.virtual);
    share.held += 1;
    share.turn = this.#turns += 1;
    this.#unqueue(item, share);
    item.guess = share.guess;
    this.#move(share, share.guess);
    this.#dropRested();
    return item;
  }

  /** Removes an item that waits. */
  remove(item: FairItem<T>): void {
    const { share } = item;
    if (share === undefined || item.place === undefined) return;
    this.#unqueue(item, share);
    item.share = undefined;
    this.#rest(share);
  }

  /** Ends a holding. What was reported replaces the guess; without a report the guess stays. `unused`: the item was
   *  not served at all. */
  settle(item: FairItem<T>, how: 'served' | 'unused'): void {
    const { share, used } = item;
    if (share === undefined) return;
    if (how === 'unused') this.#move(share, -item.guess);
    else if (used !== undefined) {
      const cost = Math.max(COST_MIN, used);
      this.#move(share, cost - item.guess);
      share.guess += MEAN_GAIN * (cost - share.guess);
      this.#guess += MEAN_GAIN * (cost - this.#guess);
    }
    item.share = undefined;
    share.held -= 1;
    this.#rest(share);
  }

  /** For each of these waiting items the number of items ahead of it, if each delivery costs what is guessed. Of more
   *  than FLOWS_COUNTED_MAX flows a sample is counted. */
  countBefore(items: readonly FairItem<T>[]): readonly number[] {
    const flows = this.#waiting.members;
    const stride = Math.ceil(flows.length / FLOWS_COUNTED_MAX);
    const sample = flows.filter((_, i) => i % stride === 0);
    return items.map(({ share, place }) => {
      if (share === undefined || place === undefined) return 0;
      const rank = share.queue.rank(place);
      let others = 0;
      for (const other of sample) if (other !== share) others += servedBefore(other, share, rank);
      return rank + others * stride;
    });
  }

  #newShare(flow: string): FlowShare<T> {
    const share = {
      flow,
      weight: this.#weightOf(flow),
      queue: new RankedQueue<FairItem<T>>(),
      virtual: 0,
      turn: 0,
      heapAt: -1,
      least: 0,
      held: 0,
      isResting: false,
      guess: this.#guess,
    };
    this.#shares.set(flow, share);
    return share;
  }

  /** The share had nothing waiting, and an item comes. */
  #enter(share: FlowShare<T>): void {
    if (share.isResting) this.#resting.delete(share);
    share.isResting = false;
    share.least = this.#floor();
    share.virtual = Math.max(share.virtual, share.least);
    share.turn = this.#turns += 1;
    this.#waiting.add(share);
  }

  /** The least virtual time at which a flow that comes back begins. */
  #floor(): number {
    return Math.min(this.#waiting.first?.virtual ?? Infinity, this.#virtual);
  }

  #unqueue(item: FairItem<T>, share: FlowShare<T>): void {
    if (item.place === undefined) return;
    share.queue.delete(item.place);
    item.place = undefined;
    this.#size -= 1;
    if (share.queue.length === 0) this.#waiting.delete(share);
  }

  #move(share: FlowShare<T>, tokens: number): void {
    share.virtual = Math.max(share.least, share.virtual + tokens / share.weight);
    if (share.queue.length > 0) this.#waiting.moved(share);
    if (this.#waiting.first === undefined) this.#virtual = Math.max(this.#virtual, share.virtual);
  }

  /** Keeps a share with nothing waiting and nothing held only as long as it is ahead of the others. */
  #rest(share: FlowShare<T>): void {
    if (share.queue.length > 0 || share.held > 0) return;
    share.isResting = true;
    this.#resting.add(share);
    this.#dropRested();
    const first = this.#resting.first;
    if (first !== undefined && this.#resting.members.length > RESTING_FLOWS_MAX) this.#drop(first);
  }

  #dropRested(): void {
    for (let first = this.#resting.first; first !== undefined; first = this.#resting.first) {
      if (first.virtual > this.#floor()) return;
      this.#drop(first);
    }
  }

  #drop(share: FlowShare<T>): void {
    this.#resting.delete(share);
    this.#shares.delete(share.flow);
  }
}

/** How many items of `other` are taken before the item of `share` at this rank. */
function servedBefore<T>(other: FlowShare<T>, share: FlowShare<T>, rank: number): number {
  const ahead = share.virtual + (rank * share.guess) / share.weight - other.virtual;
  if (ahead < 0) return 0;
  const turns = (ahead * other.weight) / other.guess;
  let before = Math.ceil(turns);
  // At the same virtual time: the flow that was taken fewer times to get there, then the earlier turn.
  if (before === turns && (before < rank || (before === rank && other.turn < share.turn))) before += 1;
  return Math.min(other.queue.length, before);
}
