// What one tail of the memory engine reads. The tail itself is a `TailReader`, as on every engine; the topics and their
// readers are in memory-broker.ts.
import type { ReadFrom, ReadOptions, ReadResult } from '../broker.ts';
import type { LiteTopicName } from '../lite-topic.ts';
import type { Position } from '../position.ts';
import type { TailReader, TailSource } from '../tail/tail-reader.ts';

export interface TailedTopics {
  readNow(name: LiteTopicName, from: ReadFrom, options: ReadOptions): ReadResult;
  /** The readers of the topic, with this one; undefined where there is no topic. @throws BrokerError closed */
  attach(name: LiteTopicName, reader: TailReader): Set<TailReader> | undefined;
  detach(name: LiteTopicName, readers: Set<TailReader> | undefined, reader: TailReader): void;
}

export class MemoryTailSource implements TailSource {
  readonly #topics: TailedTopics;
  readonly #name: LiteTopicName;
  #readers: Set<TailReader> | undefined;

  constructor(topics: TailedTopics, name: LiteTopicName) {
    this.#topics = topics;
    this.#name = name;
  }

  readFrom(position: Position, majorOnly: boolean): ReadResult {
    return this.#topics.readNow(this.#name, position, { majorOnly });
  }

  attach(reader: TailReader): void {
    this.#readers = this.#topics.attach(this.#name, reader);
  }

  detach(reader: TailReader): void {
    this.#topics.detach(this.#name, this.#readers, reader);
  }
}
