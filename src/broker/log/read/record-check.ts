// Checks that every live record can be read back from the segments, one page of topics after the other, while the
// engine runs: each frame against its checksum, and each location in the index against the topic, the epoch and the
// offset that the frame there has. It returns no records, and it changes only the account of damage.
import { setImmediate } from 'node:timers/promises';
import type { CheckedPage, DamagedRange, DamagedTopic } from '../../health.ts';
import { isBrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { CHUNK_RECORDS, LOST } from '../topics/record-chunk.ts';
import type { TopicIndex } from '../topics/topic-index.ts';
import type { TopicLister } from '../topics/topic-lister.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Topic } from '../topics/topic.ts';
import type { ColdReads } from './cold-reads.ts';
import { addDamaged, DAMAGED_RANGES_MAX, LOST_TEXT, textOf, type DamageAccount } from '../topics/damage-account.ts';
import type { ColdRecord } from './read-plan.ts';

/** A page ends with the topic that reaches this many bytes of text. A caller that goes away costs no more than the rest
 *  of one page. */
const PAGE_BYTES = 16 * 1024 * 1024;

export interface CheckParts {
  readonly table: TopicTable;
  readonly index: TopicIndex;
  readonly lister: TopicLister;
  readonly cold: ColdReads;
  readonly damage: DamageAccount;
  /** @throws BrokerError closed: what a read found after the files were closed is no damage */
  readonly mustBeOpen: () => void;
}

/** What was checked of a topic, and what of it is damaged. */
interface Checked {
  readonly topic: LiteTopicName;
  base: string | undefined;
  checked: number;
  bytes: number;
  records: number;
  readonly ranges: DamagedRange[];
}

export class RecordCheck {
  readonly #parts: CheckParts;

  constructor(parts: CheckParts) {
    this.#parts = parts;
  }

  /** Checks the topics whose names follow `after`. */
  async page(after: LiteTopicName | undefined): Promise<CheckedPage> {
    const listed = this.#namesAfter(after);
    if (typeof listed === 'string') return { topics: 0, records: 0, bytes: 0, damaged: [], index: listed };
    const damaged: DamagedTopic[] = [];
    let [topics, records, bytes] = [0, 0, 0];
    for (const name of listed.names) {
      const found = await this.#check(name);
      topics += 1;
      records += found.checked;
      bytes += found.bytes;
      if (found.records > 0) damaged.push({ topic: name, records: found.records, ranges: found.ranges });
      if (bytes >= PAGE_BYTES) return { topics, records, bytes, damaged, after: name };
    }
    const page = { topics, records, bytes, damaged };
    if (listed.after !== undefined) return { ...page, after: listed.after };
    // Whoever requested the check has seen them, and every record that is left was read.
    this.#parts.damage.forgetParts();
    return page;
  }

  /** What is wrong with the index if it cannot name the next topics. */
  #namesAfter(after: LiteTopicName | undefined): ReturnType<TopicLister['namesAfter']> | string {
    try {
      return this.#parts.lister.namesAfter(after);
    } catch (error) {
      if (!isBrokerError(error, 'corrupt')) throw error;
      return textOf(error);
    }
  }

  async #check(topic: LiteTopicName): Promise<Checked> {
    const found: Checked = { topic, base: undefined, checked: 0, bytes: 0, records: 0, ranges: [] };
    for (let offset: number | undefined = 0; offset !== undefined;) offset = await this.#checkChunk(found, offset);
    this.#parts.damage.checked(found);
    return found;
  }

  /** Checks the chunk that begins at `from`. Returns where the next one begins; undefined if there is none, or if the
   *  topic has ended meanwhile. */
  async #checkChunk(found: Checked, from: number): Promise<number | undefined> {
    // The object is valid only in this turn: the topic may leave memory.
    const topic = this.#topic(found.topic);
    const version = topic?.visible;
    if (topic === undefined || version === undefined || (found.base ??= version.base) !== version.base) {
      [found.records, found.ranges.length] = [0, 0];
      return undefined;
    }
    const to = Math.min(version.state.next, from + CHUNK_RECORDS);
    for (const range of await this.#damagedIn(found, topic, version.base, [from, to])) {
      found.records += range.to - range.from + 1;
      addDamaged(found.ranges, range);
      found.ranges.splice(DAMAGED_RANGES_MAX);
    }
    return to < version.state.next ? to : undefined;
  }

  async #damagedIn(
    found: Checked,
    topic: Topic,
    base: string,
    [from, to]: readonly [from: number, to: number],
  ): Promise<readonly DamagedRange[]> {
    let cold: readonly ColdRecord[];
    try {
      cold = recordsOf(topic, from, to);
    } catch (error) {
      if (!isBrokerError(error, 'corrupt')) throw error;
      return [{ from, to: to - 1, segment: 0, position: 0, what: textOf(error) }];
    }
    const { count } = topic.chunkOf(from);
    if (count !== to - from) {
      const what = `the index has ${count} records here, and counts ${to - from}`;
      return [{ from, to: to - 1, segment: 0, position: 0, what }];
    }
    for (const { offset } of cold) found.bytes += topic.chunkOf(offset).size(offset % CHUNK_RECORDS);
    found.checked += cold.length;
    // Otherwise a long walk over holes would be one turn.
    if (cold.length === 0) await setImmediate();
    const lost = this.#lostIn(topic, from, to);
    try {
      const damaged = await this.#parts.cold.damagedOf(topic.name, base, cold);
      return [...lost, ...damaged].sort((a, b) => a.from - b.from);
    } finally {
      this.#parts.mustBeOpen();
    }
  }

  /** The offsets that were declared as lost, with the reason if it is on record. */
  #lostIn(topic: Topic, from: number, to: number): readonly DamagedRange[] {
    const lost: DamagedRange[] = [];
    for (let offset = from; offset < to; offset++) {
      if (topic.chunkOf(offset).holeBy(offset % CHUNK_RECORDS) !== LOST) continue;
      const known = this.#parts.damage.rangeAt(topic.name, offset);
      const { segment, position, what } = known ?? { segment: 0, position: 0, what: LOST_TEXT };
      addDamaged(lost, { from: offset, to: offset, segment, position, what });
    }
    return lost;
  }

  #topic(name: LiteTopicName): Topic | undefined {
    const { table, index } = this.#parts;
    const loaded = table.loaded(name);
    if (loaded !== undefined) return loaded;
    const entry = index.topic(name);
    return entry === undefined ? undefined : table.peek(name, entry);
  }
}

/** The live records of one chunk. @throws BrokerError corrupt */
function recordsOf(topic: Topic, from: number, to: number): readonly ColdRecord[] {
  const records: ColdRecord[] = [];
  for (let offset = from; offset < to; offset++) {
    const chunk = topic.chunkOf(offset);
    const slot = offset % CHUNK_RECORDS;
    if (chunk.holeBy(slot) < 0)
      records.push({ at: records.length, offset, major: chunk.isMajor(slot), location: chunk.location(slot) });
  }
  return records;
}
