// What an engine says about itself: whether it serves, what an acknowledged record survives, and the damage that it has
// found in its files.
import type { LiteTopicName } from './lite-topic.ts';

export interface BrokerHealth {
  /** `degraded`: everything works except for records that are damaged. `full`: reads work; writes fail with
   *  `disk-full` until there is room. `unavailable`: the storage cannot be reached now; this heals by itself.
   *  `failed`: restart the process. */
  readonly state: 'ready' | 'degraded' | 'full' | 'unavailable' | 'failed';
  /** What an acknowledged record survives, in one line for an operator. */
  readonly durability: string;
  /** Something that an operator should check although the storage works, for example that the engine does not trust
   *  the clock. */
  readonly notice?: string | undefined;
  /** The damage that was found so far; undefined for an engine that keeps no files of its own. */
  readonly damage?: DamageCount | undefined;
}

export interface DamageCount {
  /** Topics with records that cannot be read back. */
  readonly topics: number;
  /** Files of the log that hold records and are missing. */
  readonly missingSegments: number;
  /** 1 if a part of the index cannot be read: the next start makes the index again. */
  readonly damagedIndex: number;
  /** Parts of the log that a start could not read. */
  readonly lostParts: number;
}

/** A part of the log that a start could not read: the changes in it are lost, and it is not known which topics they
 *  belonged to. */
export interface LostPart {
  readonly segment: number;
  /** The byte in the segment's file. */
  readonly position: number;
  /** 0: not known, because the file ends there or is missing. */
  readonly bytes: number;
  readonly what: string;
}

/** Records of a topic that cannot be read back, for one reason. Lost offsets whose reason is not known any more have
 *  segment 0. */
export interface DamagedRange {
  readonly from: number;
  /** The last offset. */
  readonly to: number;
  /** Where the first of the records should be: the segment, and the byte in its file. */
  readonly segment: number;
  readonly position: number;
  readonly what: string;
}

export interface DamagedTopic {
  readonly topic: LiteTopicName;
  /** The number of damaged records. */
  readonly records: number;
  /** Ascending, and only the first ones of many. */
  readonly ranges: readonly DamagedRange[];
}

/** What one page of a check of all records found. */
export interface CheckedPage {
  /** The topics, records and bytes of text that were checked. */
  readonly topics: number;
  readonly records: number;
  readonly bytes: number;
  readonly damaged: readonly DamagedTopic[];
  /** What is wrong with the index: it cannot name the next topics, so this is the last page. */
  readonly index?: string;
  /** The next page begins after this name; undefined: there is none. */
  readonly after?: LiteTopicName;
}

/** The check of an engine that keeps files of its own. */
export interface RecordChecking {
  /** Reads every live record of the next topics from its file and compares it with the index. Changes nothing.
   *  @throws BrokerError closed */
  check(after?: LiteTopicName): Promise<CheckedPage>;
  /** Reads every page of the index. What is wrong with it, or undefined. @throws BrokerError failed */
  checkIndex(): Promise<string | undefined>;
  /** The damage that reads and checks have found since the engine was opened: at most 1024 topics. */
  damaged(): readonly DamagedTopic[];
  /** The parts of the log that starts could not read: at most 64. A check of all records takes them off, and so does
   *  the removal of the files. */
  lostParts(): readonly LostPart[];
}

export interface HealthReporting {
  health(): BrokerHealth;
}
