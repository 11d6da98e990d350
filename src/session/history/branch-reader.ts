// Reads a branch of a chat backward along its links, and finds the ranges of the log that hold it. Reads major records
// only, many at a time. In a chat without branches that is one backward read. At a link to another part of the log it
// continues there.
import type { Broker, LogItem } from '../../broker/broker.ts';
import { readBranchNode, type BranchNode } from '../commands/branch-links.ts';
import { readableEvent, isTerminal } from '../events/chat-event.ts';
import type { LostParts } from './lost-parts.ts';
import { MAJORS_AT_ONCE, majorBatches, readMajors, type LogPrefix, type LogRange } from './major-records.ts';
import { batchChars } from '../events/paced-read.ts';

/** Major records of a prompt and its run: the prompt, and the run's queuing, start and end. More after a takeover or a
 *  Stop. */
const MAJORS_A_TURN = 4;
const MAJORS_AT_ONCE_MIN = 16;

/** The result of one backward read: all major records from `low` to `high`. */
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
  /** Offset at which the branch continues backward; undefined at its beginning. */
  #at: number | undefined;
  #seen: Seen | undefined;
  /** Offsets of the terminals that were read. */
  readonly #ends = new Map<string, number>();
  /** Offsets of nodes with no record of another branch between them and the node before. */
  readonly #joined = new Set<number>();
  readonly #charsMax: number;
  #chars = 0;
  readonly #lostParts: LostParts | undefined;

  /** `from`: the offset to begin at, or any after it. `wanted`: messages that are likely to be read, so that a page
   *  of a few does not read what holds hundreds. `charsMax`: UTF-16 code units of records after which it reads no
   *  further back than to the next prompt. `lostParts`: receives each backward read, which parses its records again. */
  constructor(
    broker: Broker,
    log: LogPrefix,
    from: number | undefined,
    wanted: number,
    charsMax: number,
    lostParts?: LostParts,
  ) {
    this.#broker = broker;
    this.#lostParts = lostParts;
    this.#log = log;
    this.#at = from;
    this.#charsMax = charsMax;
    this.#atOnce = Math.min(MAJORS_AT_ONCE, Math.max(MAJORS_AT_ONCE_MIN, wanted * MAJORS_A_TURN));
  }

  get isDone(): boolean {
    return this.#at === undefined;
  }

  /** Reads the newest records first. If the branch is the latest one, the ends of its runs are among them. */
  async readHead(): Promise<void> {
    this.#seen = await this.#readBackFrom(this.#log.next - 1);
  }

  /** At least `count` nodes, or all there are, or fewer if they are large; oldest first. The oldest is no run, because
   *  no answer is shown without its prompt. */
  async readBack(count: number): Promise<BranchNode[]> {
    const found: BranchNode[] = [];
    while (this.#at !== undefined) {
      const node = await this.#nodeAtOrBelow(this.#at);
      if (node === undefined) this.#at = undefined;
      else {
        found.unshift(node);
        this.#at = node.before;
        if ((found.length >= count || this.#chars > this.#charsMax) && node.kind !== 'run') break;
      }
    }
    return found;
  }

  /** The ranges that hold these nodes and all events about them, oldest first. No two overlap. */
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

  /** The node that links to `offset`, if the last read contains it. */
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
    const low = batch.end ? 0 : batch.next + 1;
    this.#lostParts?.noteRead({ from: low, to: offset + 1 }, batch.items);
    return { low, high: offset, nodes };
  }

  #noteEnd(item: LogItem): void {
    const event = readableEvent(item);
    if (event !== undefined && isTerminal(event) && item.kind === 'record') this.#ends.set(event.runId, item.offset);
  }

  /** The offset behind the last event about these nodes. Their runs have ended there. A prompt whose first run is not
   *  on this branch could be edited until that run began, so its range includes that run. Reads forward from the first
   *  node whose end is unknown. */
  async #endOf(group: readonly BranchNode[]): Promise<number> {
    const open = group.filter((node, i) =>
      node.kind === 'run' ? !this.#ends.has(node.id) : node.kind === 'prompt' && group[i + 1]?.at !== node.at + 1,
    );
    const end = group.reduce((last, { id, at }) => Math.max(last, this.#ends.get(id) ?? at), 0) + 1;
    return open.length === 0 ? end : Math.max(end, await this.#findEnd(open));
  }

  async #findEnd(open: readonly BranchNode[]): Promise<number> {
    const { next } = this.#log;
    const runs = new Set(open.filter(({ kind }) => kind === 'run').map(({ id }) => id));
    /** Offsets of the runs that were sent with these prompts. */
    const firstRuns = new Set(open.filter(({ kind }) => kind === 'prompt').map(({ at }) => at + 1));
    for await (const batch of majorBatches(this.#broker, this.#log, open[0]?.at ?? next, 'forward')) {
      for (const item of batch.items) {
        const event = readableEvent(item);
        if (event === undefined || item.kind !== 'record' || !('runId' in event)) continue;
        if (firstRuns.delete(item.offset)) runs.add(event.runId);
        else if (isTerminal(event)) runs.delete(event.runId);
        if (runs.size === 0 && firstRuns.size === 0) return Math.min(next, item.offset + 1);
      }
    }
    return next;
  }
}
