// What happens to an append, and to each topic of it, when its frame is durable or was refused. What a frame says is
// decided in appender.ts.
import type { Appended } from '../../broker.ts';
import type { BrokerError } from '../../errors.ts';
import type { FrameLocation } from '../format/frame-codec.ts';
import type { Expiry } from '../topics/expiry.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Tombstone, Topic } from '../topics/topic.ts';
import type { CommitEntry } from './group-commit.ts';
import { hasMajor, type StagedWrite } from './staged-write.ts';

/** What the engine does once a frame is durable. The calls come in the order of the log. */
export interface TopicEvents {
  /** Called when all writes of the append are in place. */
  visible(topic: Topic, major: boolean): void;
  ended(topic: Topic, tombstone: Tombstone): void;
  /** Records of the topic are lost, and it has another epoch. */
  declaredLost(topic: Topic): void;
  groupSaved(group: string, pattern: string): void;
}

export type Answered = (answers: readonly Appended[]) => void;
export type Refused = (error: BrokerError) => void;

export interface Done {
  resolve(): void;
  reject(error: BrokerError): void;
}

/** What happens to a topic when one of its frames is durable, or was refused. */
export class Settling {
  readonly #table: TopicTable;
  readonly #expiry: Expiry;

  constructor(table: TopicTable, expiry: Expiry) {
    this.#table = table;
    this.#expiry = expiry;
  }

  settle(topic: Topic): void {
    topic.waiting -= 1;
    this.#table.touch(topic);
    if (topic.waiting === 0) this.#expiry.settled(topic);
  }

  /** Everything pending fails together, so each topic falls back to its visible version. */
  refuse(topic: Topic): void {
    topic.fallBack();
    this.#expiry.refused(topic);
  }
}

export class AppendEntry implements CommitEntry {
  readonly #settling: Settling;
  readonly #engine: TopicEvents;
  readonly writes: readonly StagedWrite[];
  readonly #answers: readonly Appended[];
  readonly #resolve: Answered;
  readonly #reject: Refused;
  readonly #release: (() => void) | undefined;

  /** `release`: gives back what was reserved, in the turn in which the writes are applied or have failed. */
  constructor(
    settling: Settling,
    engine: TopicEvents,
    writes: readonly StagedWrite[],
    answers: readonly Appended[],
    resolve: Answered,
    reject: Refused,
    release: (() => void) | undefined,
  ) {
    this.#settling = settling;
    this.#engine = engine;
    this.writes = writes;
    this.#answers = answers;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#release = release;
  }

  committed(location: FrameLocation): void {
    for (const write of this.writes) {
      write.held.apply(write.version, write, location);
      write.held.cacheLastRecord(write.first, write.records);
      this.#settling.settle(write.held);
    }
    for (const write of this.writes) this.#engine.visible(write.held, hasMajor(write.records));
    this.#release?.();
    this.#resolve(this.#answers);
  }

  failed(error: BrokerError): void {
    for (const { held } of this.writes) this.#settling.refuse(held);
    this.#release?.();
    this.#reject(error);
  }
}
