// The schedule of one group as this node works with it: runs the scripts of schedule-scripts.ts at the group's own
// slot, and keeps what the next step reports. A report that was not answered is sent again: a ticket counts once.
import type { Clock } from '../../../base/clock.ts';
import type { FlowOf, Priority } from '../../broker.ts';
import { isBrokerError } from '../../errors.ts';
import { hasLimits, type FlowPolicy, type FlowPolicyOf, type QueuePlace } from '../../flow-policy.ts';
import { parseLiteTopicName } from '../../lite-topic.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { RedisCommands, RedisReply } from '../connection/redis-commands.ts';
import { listOf, numberOf } from '../connection/redis-reply.ts';
import { countPlaces } from './schedule-places.ts';
import { PLACES, STEP } from './schedule-scripts.ts';

/** The most topics that one step picks. */
export const PICK_MAX = 32;
/** A step enters no further partition once it enters this many topics. */
const ENTERED_MAX = 256;
/** The most tickets that one step reports. */
const REPORTED_MAX = 512;
/** A leased ticket is reported within this time, which is well below PICKED_MS. Most are settled sooner. */
const REPORT_MS = 1000;
/** The most steps that one check runs in a group that no node steps. The next check runs more. */
const OVERDUE_STEPS_MAX = 8;

/** A topic that came to wait. */
export interface Waiting {
  readonly topic: LiteTopicName;
  readonly priority: Priority;
  /** Later than the turn of each topic of this partition that waited before. */
  readonly turn: string;
}

/** What came to wait in a partition between two cursors. */
export interface Drained {
  readonly from: string;
  readonly to: string;
  readonly waiting: readonly Waiting[];
  /** More topics follow. */
  readonly more: boolean;
  /** Ms until the next lease or pause in the partition ends. */
  readonly dueIn: number | undefined;
}

export interface Picked {
  readonly topic: LiteTopicName;
  readonly ticket: string;
}

/** What a partition had when it was drained. */
export interface Batch {
  readonly partition: number;
  readonly drained: Drained;
}

interface StepOptions {
  /** Return the cursors and the overdue groups. */
  readonly wantsCursors?: boolean;
  /** How long what is picked will be leased, at most. */
  readonly leaseMs?: number;
}

/** What became of a batch. */
export interface Entry {
  /** Up to where the partition has been entered now, by this node or another. */
  readonly cursor: string;
  /** Nothing was entered, because topics may be between the cursor and the batch: drain again from the cursor. */
  readonly isRefused: boolean;
}

export interface Step {
  readonly picked: readonly Picked[];
  /** For each batch, in their order. */
  readonly entries: readonly Entry[];
  /** Up to where each partition has been entered; empty unless it was asked for. */
  readonly cursors: ReadonlyMap<number, string>;
  /** Groups with tickets whose time is up; empty unless it was asked for. */
  readonly overdue: readonly string[];
}

interface Reports {
  /** Ticket → the arguments of its report. */
  readonly settled: Map<string, readonly string[]>;
  readonly leased: Map<string, readonly string[]>;
}

/** Which flow a topic is of, and what a flow may have. The same on every node. */
export interface FlowRules {
  readonly flowOf: FlowOf;
  readonly policyOf: FlowPolicyOf;
}

export class GroupSchedule {
  readonly #commands: RedisCommands;
  readonly #group: string;
  readonly #place: number;
  readonly #flowOf: FlowOf;
  readonly #policyOf: FlowPolicyOf;
  readonly #clock: Clock;
  /** As many as this node has picked and not reported. */
  #reports: Reports = { settled: new Map(), leased: new Map() };
  #reportAt = Infinity;
  #dueAt = Infinity;

  constructor(commands: RedisCommands, group: string, { flowOf, policyOf }: FlowRules) {
    this.#commands = commands;
    this.#group = group;
    this.#place = commands.keys.schedules;
    this.#flowOf = flowOf;
    this.#policyOf = policyOf;
    this.#clock = commands.clock;
  }

  /** Monotonic: when a topic that was picked and not settled is due again, or a limit may allow more. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Monotonic: when leases must be reported. */
  get reportAt(): number {
    return this.#reportAt;
  }

  /** A limit may allow more in that time. */
  due(ms: number): void {
    this.#dueAt = Math.min(this.#dueAt, this.#clock.mono() + ms);
  }

  /** Tickets were settled since the last step. */
  get hasSettled(): boolean {
    return this.#reports.settled.size > 0;
  }

  /** The topic is no longer held. `tokens`: what was charged, undefined for nothing. `unused`: it was not delivered. */
  settle(ticket: string, how: 'served' | 'unused', tokens?: number): void {
    this.#reports.leased.delete(ticket);
    this.#reports.settled.set(ticket, ['settle', ticket, how, tokens === undefined ? '' : String(tokens)]);
  }

  /** The topic is held for that time from now, and has used so many tokens so far. */
  leased(ticket: string, ms: number, tokens?: number): void {
    if (this.#reports.leased.size === 0) this.#reportAt = this.#clock.mono() + REPORT_MS;
    this.#reports.leased.set(ticket, ['leased', ticket, String(ms), tokens === undefined ? '' : String(tokens)]);
  }

  /** Reports, enters the batches, and picks topics. @throws what `run` throws; what was picked then is due again */
  async step(pick: number, batches: readonly Batch[], options: StepOptions = {}): Promise<Step> {
    const entries: Entry[] = [];
    let left = batches;
    for (;;) {
      let topics = 0;
      let count = 0;
      for (const { drained } of left) {
        if (topics >= ENTERED_MAX) break;
        topics += drained.waiting.length;
        count += 1;
      }
      const isLast = count === left.length;
      const step = await this.#step(isLast ? pick : 0, left.slice(0, count), isLast ? options : {});
      for (const entry of step.entries) entries.push(entry);
      if (isLast) return { ...step, entries };
      left = left.slice(count);
    }
  }

  /** Reports what was settled, in as many steps as that needs. @throws what `run` throws */
  async report(): Promise<void> {
    do await this.step(0, []);
    while (this.hasSettled);
  }

  /** Returns up to where each partition has been entered. Ends the tickets whose time is up, in other groups too: their
   *  last node may have died, and they hold places of limits that groups share. @throws what `run` throws */
  async check(): Promise<ReadonlyMap<number, string>> {
    const { cursors, overdue } = await this.step(0, [], { wantsCursors: true });
    const rules = { flowOf: this.#flowOf, policyOf: this.#policyOf };
    for (const group of overdue) await new GroupSchedule(this.#commands, group, rules).#endOverdue();
    return cursors;
  }

  async #endOverdue(): Promise<void> {
    try {
      for (let steps = 0; steps < OVERDUE_STEPS_MAX; steps += 1) {
        await this.step(0, []);
        if (this.#dueAt > this.#clock.mono()) return;
      }
    } catch (error) {
      // The next check tries again. A fault in one group must not stop the others.
      if (!isBrokerError(error)) throw error;
    }
  }

  /** For each of these topics that waits, the number of topics ahead of it. @throws what `run` throws */
  async places(topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>> {
    return countPlaces(topics, await this.#commands.run(PLACES, this.#place, [...this.#groupArgs(), ...topics]));
  }

  #groupArgs(): string[] {
    const policy = this.#policyOf('', this.#group);
    return [this.#group, policyText(policy), policy.pausedAs?.group ?? '', policy.pausedAs?.flows ?? ''];
  }

  async #step(
    pick: number,
    batches: readonly Batch[],
    { wantsCursors = false, leaseMs = 0 }: StepOptions,
  ): Promise<Step> {
    const reports = this.#takeReports();
    const args: (string | number)[] = [...this.#groupArgs(), pick, wantsCursors ? '1' : '', leaseMs];
    for (const report of [...reports.settled.values(), ...reports.leased.values()])
      for (const arg of report) args.push(arg);
    for (const { partition, drained } of batches) {
      args.push('enter', partition, drained.from, drained.to, drained.waiting.length);
      for (const { topic, priority, turn } of drained.waiting) {
        const flow = this.#flowOf(topic);
        args.push(topic, priority, turn, flow, this.#policiesOf(flow));
      }
    }
    const sentAt = this.#clock.mono();
    const dueAt = this.#dueAt;
    // What is noted during the call counts after it.
    this.#dueAt = Infinity;
    try {
      const [due, entries, cursors, picked, overdue] = listOf(await this.#commands.run(STEP, this.#place, args));
      const dueIn = numberOf(due);
      if (dueIn >= 0) this.#dueAt = Math.min(this.#dueAt, sentAt + dueIn);
      return {
        picked: pairsOf(picked).map(([topic, ticket]) => ({ topic: parseLiteTopicName(topic), ticket })),
        entries: pairsOf(entries).map(([cursor, refused]) => ({ cursor, isRefused: refused === '1' })),
        cursors: new Map(pairsOf(cursors).map(([partition, cursor]) => [Number(partition), cursor])),
        overdue: listOf(overdue).map(String),
      };
    } catch (error) {
      this.#dueAt = Math.min(this.#dueAt, dueAt);
      this.#putBack(reports);
      throw error;
    }
  }

  /** The policies of `tenant`, `tenant/user` and so on, up to the flow itself. */
  #policiesOf(flow: string): string {
    const policies: string[] = [];
    for (let end = flow.indexOf('/'); end >= 0; end = flow.indexOf('/', end + 1))
      policies.push(policyText(this.#policyOf(flow.slice(0, end), this.#group)));
    policies.push(policyText(this.#policyOf(flow, this.#group)));
    return policies.join(' ');
  }

  #takeReports(): Reports {
    const all = this.#reports;
    const taken: Reports = { settled: new Map(), leased: new Map() };
    for (const kind of ['settled', 'leased'] as const) {
      for (const [ticket, report] of all[kind]) {
        if (taken.settled.size + taken.leased.size >= REPORTED_MAX) break;
        taken[kind].set(ticket, report);
        all[kind].delete(ticket);
      }
    }
    this.#reportAt = all.leased.size === 0 ? Infinity : this.#clock.mono();
    return taken;
  }

  #putBack({ settled, leased }: Reports): void {
    for (const [ticket, report] of settled) this.#reports.settled.set(ticket, report);
    for (const [ticket, report] of leased) {
      if (this.#reports.leased.has(ticket) || this.#reports.settled.has(ticket)) continue;
      this.#reports.leased.set(ticket, report);
      this.#reportAt = Math.min(this.#reportAt, this.#clock.mono() + REPORT_MS);
    }
  }
}

function pairsOf(reply: RedisReply | undefined): [string, string][] {
  const flat = listOf(reply);
  return Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), String(flat[2 * i + 1])]);
}

/** One word, as in gate-lua.ts. */
function policyText(policy: FlowPolicy): string {
  const { weight = 1, concurrent = '', deliveryRate, tokenRate, pool } = policy;
  if (!hasLimits(policy)) return String(weight);
  const rates = [deliveryRate, tokenRate].flatMap((rate) => [rate?.perSecond ?? '', rate?.burst ?? '']);
  return [weight, concurrent, ...rates, pool === undefined ? '@' : `=${encodeURIComponent(pool)}`].join(',');
}
