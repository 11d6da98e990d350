// Walks a branch of a chat backward along its links, and says which ranges of the log hold it. Reads major records
// only, many at a time: on a chat without branches that is one walk straight back, and at a link that leads elsewhere
// it goes on there.
import type { Broker, LogItem } from '../../broker/broker.ts';
import { readBranchNode, type BranchNode } from '../commands/branch-links.ts';
import { decodeEvent, isTerminal } from '../events/chat-event.ts';
import { MAJORS_AT_ONCE, majorBatches, readMajors, type LogPrefix } from './major-records.ts';
import { batchChars } from '../events/paced-read.ts';

/** Major records of a turn: a prompt and its run, begun and ended. A few more where a run was taken over or stopped. */
const MAJORS_A_TURN = 4;
const MAJORS_AT_ONCE_MIN = 16;

/** Records from `from` up to, not including, `to`. */
export interface LogRange {
  readonly from: number;
  readonly to: number;
}

/** What was read at once, backward: everything major from `low` to `high`. */
interface Seen {
  readonly low: number;
  readonly high: number;
  /** Newest first. */
  readonly nodes: readonly BranchNode[];
}

export class BranchReader {
  readonly #broker: Broker;
  readonly #log: LogPrefix;
  readonly #atOnce: number;
  /** Where the branch goes on. */
  #at: number | undefined;
  #seen: Seen | undefined;
  /** Offsets of the ends of runs that were come across. */
  readonly #ends = new Map<string, number>();
  /** Nodes with nothing of another branch between them and the one before. */
  readonly #joined = new Set<number>();
  readonly #charsMax: number;
  #chars = 0;

  /** `from`: the place to begin at, or anywhere after it. `wanted`: messages that are likely to be read, so that a page of
   *  a few does not read what holds hundreds. `charsMax`: UTF-16 code units of records after which it reads no further back
   *  than to the next prompt. */
  constructor(broker: Broker, log: LogPrefix, from: number | undefined, wanted: number, charsMax: number) {
    this.#broker = broker;
    this.#log = log;
    this.#at = from;
    this.#charsMax = charsMax;
    this.#atOnce = Math.min(MAJORS_AT_ONCE, Math.max(MAJORS_AT_ONCE_MIN, wanted * MAJORS_A_TURN));
  }

  get isDone(): boolean {
    return this.#at === undefined;
  }

  /** Looks at the newest records first: where the branch is what happened last, its ends are among them. */
  async readHead(): Promise<void> {
    this.#seen = await this.#readBackFrom(this.#log.next - 1);
  }

  /** At least `count` nodes if there are as many, fewer where they are large; oldest first. The oldest is a prompt: no
   *  answer stands without. */
  async readBack(count: number): Promise<BranchNode[]> {
    const found: BranchNode[] = [];
    while (this.#at !== undefined) {
      const node = await this.#nodeAtOrBelow(this.#at);
      if (node === undefined) this.#at = undefined;
      else {
        found.unshift(node);
        this.#at = node.before;
        if ((found.length >= count || this.#chars > this.#charsMax) && node.kind === 'prompt') break;
      }
    }
    return found;
  }

  /** The ranges that hold these nodes, oldest first, with all that was said of them. None overlaps another. */
  async ranges(path: readonly BranchNode[]): Promise<LogRange[]> {
    const groups: BranchNode[][] = [];
    for (const node of path) {
      const group = groups.at(-1);
      if (group !== undefined && this.#joined.has(node.at)) group.push(node);
      else groups.push([node]);
    }
    const ranges: LogRange[] = [];
    for (const group of groups) {
      const from = Math.max(group[0]?.at ?? 0, ranges.at(-1)?.to ?? 0);
      ranges.push({ from, to: Math.max(from, Math.min(this.#log.next, await this.#endOf(group))) });
    }
    return ranges;
  }

  async #nodeAtOrBelow(offset: number): Promise<BranchNode | undefined> {
    const above = this.#lastOf(offset);
    for (let start = offset; start >= 0;) {
      const seen = this.#covers(start) ?? (this.#seen = await this.#readBackFrom(start));
      const node = seen.nodes.find(({ at }) => at <= start);
      if (node !== undefined) {
        if (above !== undefined && seen.nodes[seen.nodes.indexOf(node) - 1] === above) this.#joined.add(above.at);
        return node;
      }
      start = seen.low - 1;
    }
    return undefined;
  }

  /** The node whose link leads to `offset`, if it is among what was read last. */
  #lastOf(offset: number): BranchNode | undefined {
    return this.#seen?.nodes.find((node) => node.before === offset);
  }

  #covers(offset: number): Seen | undefined {
    const seen = this.#seen;
    return seen !== undefined && offset >= seen.low && offset <= seen.high ? seen : undefined;
  }

  async #readBackFrom(offset: number): Promise<Seen> {
    const batch = await readMajors(this.#broker, this.#log, offset, 'backward', this.#atOnce);
    this.#chars += batchChars(batch);
    batch.items.forEach((item) => this.#noteEnd(item));
    const nodes = batch.items.map(readBranchNode).filter((node) => node !== undefined);
    return { low: batch.end ? 0 : batch.next + 1, high: offset, nodes };
  }

  #noteEnd(item: LogItem): void {
    const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
    if (event !== undefined && isTerminal(event) && item.kind === 'record') this.#ends.set(event.runId, item.offset);
  }

  /** Where nothing more follows of these nodes: their runs have ended, and a prompt that stands here without the run
   *  it was sent with, which it could be changed until, has it behind it. Reads on from the first that is not known. */
  async #endOf(group: readonly BranchNode[]): Promise<number> {
    const open = group.filter((node, i) =>
      node.kind === 'run' ? !this.#ends.has(node.id) : group[i + 1]?.at !== node.at + 1,
    );
    const end = group.reduce((last, { id, at }) => Math.max(last, this.#ends.get(id) ?? at), 0) + 1;
    return open.length === 0 ? end : Math.max(end, await this.#findEnd(open));
  }

  async #findEnd(open: readonly BranchNode[]): Promise<number> {
    const { next } = this.#log;
    const runs = new Set(open.filter(({ kind }) => kind === 'run').map(({ id }) => id));
    /** Where the runs stand that the prompts were sent with. */
    const firstRuns = new Set(open.filter(({ kind }) => kind === 'prompt').map(({ at }) => at + 1));
    for await (const batch of majorBatches(this.#broker, this.#log, open[0]?.at ?? next, 'forward')) {
      for (const item of batch.items) {
        const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
        if (event === undefined || item.kind !== 'record' || !('runId' in event)) continue;
        if (firstRuns.delete(item.offset)) runs.add(event.runId);
        else if (isTerminal(event)) runs.delete(event.runId);
        if (runs.size === 0 && firstRuns.size === 0) return Math.min(next, item.offset + 1);
      }
    }
    return next;
  }
}
