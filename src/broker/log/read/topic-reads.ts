// Reads topics of the log, once or as a tail: from memory, from the recent log, or from the segments. Owns the set of
// attached tails.
import type { ReadFrom, ReadOptions, ReadResult, TailOptions } from '../../broker.ts';
import { TOMBSTONE_MS } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import { TailReader, type TailSource } from '../../tail/tail-reader.ts';
import type { ColdReads } from './cold-reads.ts';
import type { EngineTime } from '../topics/engine-time.ts';
import type { Expiry } from '../topics/expiry.ts';
import { batchOf, planRead, type ColdRecord, type ReadPlan } from './read-plan.ts';
import type { Quarantine } from './quarantine.ts';
import type { RecentLog } from './recent-log.ts';
import { StoredRecords } from './stored-records.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Topic } from '../topics/topic.ts';

/** Attempts at one read whose records turn out to be damaged. Each attempt leaves out what the one before it found, and
 *  a declaration that was under way may have named only a part of it. */
const READS_MAX = 8;

const EVERYTHING: ReadOptions = { majorOnly: false };
const MAJOR_ONLY: ReadOptions = { majorOnly: true };

export interface ReadParts {
  readonly table: TopicTable;
  readonly recent: RecentLog;
  readonly cold: ColdReads;
  readonly quarantine: Quarantine;
  readonly time: EngineTime;
  readonly expiry: Pick<Expiry, 'attached' | 'detached'>;
}

export class TopicReads {
  readonly #table: TopicTable;
  readonly #recent: RecentLog;
  readonly #cold: ColdReads;
  readonly #quarantine: Quarantine;
  readonly #time: EngineTime;
  readonly #expiry: Pick<Expiry, 'attached' | 'detached'>;
  readonly #tails = new Set<TailReader>();
  #isClosed = false;

  constructor({ table, recent, cold, quarantine, time, expiry }: ReadParts) {
    this.#expiry = expiry;
    this.#table = table;
    this.#recent = recent;
    this.#cold = cold;
    this.#quarantine = quarantine;
    this.#time = time;
  }

  read(topic: Topic | undefined, from: ReadFrom, options: ReadOptions, attempts = 0): ReadResult | Promise<ReadResult> {
    if (topic?.visible === undefined) return this.#endOf(topic);
    const plan = planRead(topic, topic.visible, from, options);
    if (plan.kind === 'reset') return plan;
    const cold = this.#fillRecent(topic.name, plan);
    return cold.length === 0 ? batchOf(plan) : this.#readCold(topic.name, plan, cold, { from, options, attempts });
  }

  async #readCold(
    name: LiteTopicName,
    plan: ReadPlan,
    cold: readonly ColdRecord[],
    { from, options, attempts }: { from: ReadFrom; options: ReadOptions; attempts: number },
  ): Promise<ReadResult> {
    const damaged = await this.#cold.complete(name, plan, cold);
    if (damaged === undefined) return batchOf(plan);
    if (attempts === READS_MAX)
      throw new BrokerError('corrupt', `damaged records of ${name} are found again and again`);
    if (damaged.length > 0) await this.#quarantine.declare(name, plan.base, damaged);
    return this.read(this.#table.find(name), from, options, attempts + 1);
  }

  tail(name: LiteTopicName, from: Position, options: TailOptions): TailReader {
    return new TailReader(new TopicSource(this, name), from, options);
  }

  /** The topic that the tail reads, or undefined if there is none. @throws BrokerError closed */
  attach(name: LiteTopicName, reader: TailReader): Topic | undefined {
    if (this.#isClosed) throw new BrokerError('closed', 'the broker was closed');
    this.#tails.add(reader);
    const topic = this.#table.find(name);
    if (topic === undefined) return undefined;
    topic.addReader(reader);
    this.#expiry.attached(topic);
    return topic;
  }

  detach(topic: Topic | undefined, reader: TailReader): void {
    this.#tails.delete(reader);
    if (topic === undefined) return;
    topic.removeReader(reader);
    this.#expiry.detached(topic);
  }

  /** Ends every tail. */
  close(): void {
    this.#isClosed = true;
    for (const tail of [...this.#tails]) tail.stop();
  }

  /** Fills in the records that are still in memory. Returns those that must be read from the disk. */
  #fillRecent(topic: LiteTopicName, plan: ReadPlan): readonly ColdRecord[] {
    if (plan.cold.length === 0) return plan.cold;
    const records = new StoredRecords(topic, plan.base);
    return plan.cold.filter((record) => {
      const block = this.#recent.find(record.location);
      if (block !== undefined) records.fill(plan.items, record, block.buffer, block.start);
      return block === undefined;
    });
  }

  #endOf(topic: Topic | undefined): ReadResult {
    const tombstone = topic?.tombstone;
    if (topic === undefined || tombstone === undefined || tombstone.at + TOMBSTONE_MS <= this.#time.now())
      return { kind: 'missing' };
    return topic.endReset(tombstone);
  }
}

/** The source of one tail. A topic with readers stays in memory, so the tail finds it once and not with every token. */
class TopicSource implements TailSource {
  readonly #reads: TopicReads;
  readonly #name: LiteTopicName;
  #topic: Topic | undefined;

  constructor(reads: TopicReads, name: LiteTopicName) {
    this.#reads = reads;
    this.#name = name;
  }

  readFrom(position: Position, majorOnly: boolean): ReadResult | Promise<ReadResult> {
    if (!majorOnly) {
      const last = this.#topic?.lastRecordAt(position);
      if (last !== undefined)
        return { kind: 'batch', epoch: position.epoch, items: [last], next: last.offset + 1, end: true };
    }
    return this.#reads.read(this.#topic, position, majorOnly ? MAJOR_ONLY : EVERYTHING);
  }

  attach(reader: TailReader): void {
    this.#topic = this.#reads.attach(this.#name, reader);
  }

  detach(reader: TailReader): void {
    this.#reads.detach(this.#topic, reader);
  }
}
