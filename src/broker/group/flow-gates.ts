// The gates of all groups of one engine: finds the gate of a flow, opens it when its time comes, and keeps what it has
// counted as long as it matters, also while no flow has it.
import type { Clock } from '../../base/clock.ts';
import { hasLimits, type FlowPolicy, type FlowPolicyOf, type Paused, type PausedAs } from '../flow-policy.ts';
import { Deadlines } from './deadlines.ts';
import { FlowGate, type ParkedFlow } from './flow-gate.ts';

/** Gates that no flow has, and that are kept because their buckets are not full. The oldest ones are dropped above. */
export const RESTING_GATES_MAX = 100_000;

/** What a schedule needs to know of limits. */
export interface FlowLimits {
  policyOf(flow: string): FlowPolicy;
  /** Undefined where the flow has no limit. Each gate that was given out is given back once. */
  acquire(flow: string): FlowGate | undefined;
  release(gate: FlowGate): void;
  /** What keeps the flow from being served now. */
  closedBy(flow: string, gate: FlowGate | undefined, now: number): FlowGate | undefined;
  /** The flow waits until the gate opens; `unpark` is then called once. */
  park(gate: FlowGate, flow: ParkedFlow): void;
  /** The flow does not wait any more. */
  forget(gate: FlowGate, flow: ParkedFlow): void;
  /** What the gate has counted has changed. */
  changed(gate: FlowGate): void;
}

export class FlowGates {
  readonly #clock: Clock;
  readonly #policyOf: FlowPolicyOf;
  readonly #gates = new Map<string, FlowGate>();
  /** Gates without a flow, the oldest first. */
  readonly #resting = new Set<FlowGate>();
  readonly #deadlines: Deadlines<FlowGate>;
  /** By the names of the paused groups and flows. */
  readonly #paused = new Map<string, FlowGate>();
  #pausedVersion = -Infinity;

  constructor(clock: Clock, policyOf: FlowPolicyOf) {
    this.#clock = clock;
    this.#policyOf = policyOf;
    this.#deadlines = new Deadlines(clock, (gate) => this.#due(gate));
  }

  get size(): number {
    return this.#gates.size;
  }

  limitsOf(group: string): FlowLimits {
    const { pausedAs } = this.#policyOf('', group);
    return {
      policyOf: (flow) => this.#policyOf(flow, group),
      acquire: (flow) => this.#acquire(flow, group),
      release: (gate) => this.#release(gate),
      closedBy: (flow, gate, now) =>
        this.#pauseOf(flow, pausedAs) ?? (gate !== undefined && gate.opensAt > now ? gate : undefined),
      park: (gate, flow) => this.#park(gate, flow),
      forget: (gate, flow) => gate.parked.delete(flow),
      changed: (gate) => this.#open(gate),
    };
  }

  /** Returns the list that holds now. */
  setPaused(paused: Paused): Paused {
    if (paused.version > this.#pausedVersion) this.#replacePaused(paused);
    return { names: [...this.#paused.keys()], version: this.#pausedVersion };
  }

  close(): void {
    this.#deadlines.clear();
  }

  #replacePaused({ names, version }: Paused): void {
    this.#pausedVersion = version;
    const resumed = [...this.#paused].filter(([name]) => !names.includes(name));
    for (const name of names) {
      if (this.#paused.has(name)) continue;
      const gate = new FlowGate(name, {});
      gate.isPaused = true;
      this.#paused.set(name, gate);
    }
    for (const [name, gate] of resumed) {
      this.#paused.delete(name);
      gate.isPaused = false;
      this.#open(gate);
    }
  }

  #pauseOf(flow: string, as: PausedAs | undefined): FlowGate | undefined {
    if (this.#paused.size === 0 || as === undefined) return undefined;
    if (flow === '') return this.#paused.get(as.group);
    return as.flows === undefined ? undefined : this.#paused.get(as.flows + flow);
  }

  #acquire(flow: string, group: string): FlowGate | undefined {
    const policy = this.#policyOf(flow, group);
    if (!hasLimits(policy)) return undefined;
    // A pool's name cannot be mistaken for a group's: it has a space in front.
    const key = policy.pool === undefined ? `${group} ${flow}` : ` ${policy.pool} ${flow}`;
    let gate = this.#gates.get(key);
    if (gate === undefined) {
      gate = new FlowGate(key, policy);
      this.#gates.set(key, gate);
    }
    gate.users += 1;
    if (this.#resting.delete(gate)) this.#deadlines.delete(gate);
    return gate;
  }

  #release(gate: FlowGate): void {
    gate.users -= 1;
    if (gate.users > 0) return;
    if (gate.restsAt <= this.#clock.mono()) {
      this.#drop(gate);
      return;
    }
    this.#resting.add(gate);
    this.#deadlines.set(gate, gate.restsAt);
    const [oldest] = this.#resting;
    if (oldest !== undefined && this.#resting.size > RESTING_GATES_MAX) this.#drop(oldest);
  }

  #drop(gate: FlowGate): void {
    this.#gates.delete(gate.key);
    this.#resting.delete(gate);
    this.#deadlines.delete(gate);
  }

  #park(gate: FlowGate, flow: ParkedFlow): void {
    gate.parked.add(flow);
    if (gate.opensAt < Infinity) this.#deadlines.set(gate, gate.opensAt);
  }

  #due(gate: FlowGate): void {
    if (this.#resting.has(gate)) this.#drop(gate);
    else this.#open(gate);
  }

  /** One schedule at a time, the one that has waited longest, with all its flows, so that its priorities hold. The next
   *  one follows if the gate is still open then: otherwise the first group would always take what opens. */
  #open(gate: FlowGate): void {
    const [first] = gate.parked;
    if (first === undefined) return;
    if (gate.opensAt <= this.#clock.mono()) {
      const flows = [...gate.parked].filter(({ schedule }) => schedule === first.schedule);
      for (const flow of flows) gate.parked.delete(flow);
      for (const flow of flows) flow.unpark();
      if (gate.parked.size > 0) queueMicrotask(() => this.#open(gate));
    } else if (gate.opensAt < Infinity) this.#deadlines.set(gate, gate.opensAt);
  }
}
