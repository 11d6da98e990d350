// What happens to an append, and to each topic of it, when its frame is durable or was refused. What a frame says is
// decided in appender.ts.
import type { Appended, TopicWrite } from '../../broker.ts';
import type { BrokerError } from '../../errors.ts';
import type { FrameLocation } from '../format/frame-codec.ts';
import type { Expiry } from '../topics/expiry.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Tombstone, Topic, TopicVersion } from '../topics/topic.ts';
import type { CommitEntry } from './group-commit.ts';
import { StagedWrite } from './staged-write.ts';

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

/** What happens to a topic when one of its frames is durable, or was refused. Entries share it, and have one field
 *  less because it holds the engine. */
export class Settling {
  readonly #table: TopicTable;
  readonly #expiry: Expiry;
  readonly engine: TopicEvents;

  constructor(table: TopicTable, expiry: Expiry, engine: TopicEvents) {
    this.#table = table;
    this.#expiry = expiry;
    this.engine = engine;
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

/** How the caller of an append is answered. */
export interface AppendCall {
  readonly answers: readonly Appended[];
  readonly resolve: Answered;
  readonly reject: Refused;
}

/** An append with any number of writes. */
export class AppendEntry implements CommitEntry {
  readonly #settling: Settling;
  readonly #writes: readonly StagedWrite[];
  readonly #call: AppendCall;
  readonly #release: (() => void) | undefined;

  /** `release`: gives back what was reserved, in the turn in which the writes are applied or have failed. */
  constructor(settling: Settling, writes: readonly StagedWrite[], call: AppendCall, release: (() => void) | undefined) {
    this.#settling = settling;
    this.#writes = writes;
    this.#call = call;
    this.#release = release;
  }

  committed(location: FrameLocation): void {
    for (const write of this.#writes) {
      write.apply(location);
      this.#settling.settle(write.held);
    }
    for (const write of this.#writes) this.#settling.engine.visible(write.held, write.hasMajor);
    this.#release?.();
    this.#call.resolve(this.#call.answers);
  }

  failed(error: BrokerError): void {
    for (const { held } of this.#writes) this.#settling.refuse(held);
    this.#release?.();
    this.#call.reject(error);
  }
}

/** An append with one write that names no quota: most appends. One object for all of it. (hot: ADR 7 §12) */
export class OneWriteEntry extends StagedWrite implements CommitEntry {
  readonly #settling: Settling;
  readonly #answers: readonly Appended[];
  readonly #resolve: Answered;
  readonly #reject: Refused;

  constructor(
    held: Topic,
    write: TopicWrite,
    first: number,
    version: TopicVersion,
    settling: Settling,
    answers: readonly Appended[],
    resolve: Answered,
    reject: Refused,
  ) {
    super(held, write, false, first, version);
    this.#settling = settling;
    this.#answers = answers;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  committed(location: FrameLocation): void {
    this.apply(location);
    this.#settling.settle(this.held);
    this.#settling.engine.visible(this.held, this.hasMajor);
    this.#resolve(this.#answers);
  }

  failed(error: BrokerError): void {
    this.#settling.refuse(this.held);
    this.#reject(error);
  }
}
