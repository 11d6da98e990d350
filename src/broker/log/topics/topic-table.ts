// The topics in memory. A topic is loaded with its first use, from the index or new, and leaves memory when it has not
// been used for a while. A topic stays while it has changes since the last checkpoint, a write in progress, or readers.
// So a server with a million idle chats holds none of them.
import type { Clock } from '../../../base/clock.ts';
import { TurnSlice } from '../../../base/turn-slice.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { LogLimits } from '../limits.ts';
import type { FrameLocation, MovedFrame } from '../format/frame-codec.ts';
import { RecordChunk } from './record-chunk.ts';
import type { Segments } from '../disk/segments.ts';
import { decodeTopicEntry } from './topic-codec.ts';
import type { TopicIndex } from './topic-index.ts';
import { epochText, Topic, type EndedEpoch, type TopicContext, type TopicVersion } from './topic.ts';
import { BrokerError } from '../../errors.ts';
import type { Accounts } from '../../accounts.ts';

/** Topics considered for removal with each load, so that making room never takes long. */
const SWEEP_STEPS = 8;
/** Topics considered for removal between two looks at the time. */
const TRIM_STEPS = 16;

export class TopicTable {
  readonly #index: TopicIndex;
  readonly #limits: LogLimits;
  readonly #context: TopicContext;
  readonly #topics = new Map<LiteTopicName, Topic>();
  readonly #trimming: TurnSlice;
  #dirty = new Set<Topic>();
  #hand: Iterator<Topic, undefined> = this.#topics.values();
  /** Ended epochs whose chunks the next checkpoint deletes from the index. */
  endedEpochs: EndedEpoch[] = [];
  era = 0;
  nextTopicId = 1;

  constructor(
    index: TopicIndex,
    segments: Segments,
    clock: Pick<Clock, 'mono'>,
    limits: LogLimits,
    accounts?: Pick<Accounts, 'of'>,
  ) {
    this.#index = index;
    this.#trimming = new TurnSlice(clock, limits);
    this.#limits = limits;
    this.#context = {
      loadChunk: (topicId, chunk) => this.#loadChunk(topicId, chunk),
      newTopicId: () => this.nextTopicId++,
      accountOf: (name) => accounts?.of(name),
      count: (segment, records, bytes) => segments.count(segment, records, bytes),
    };
  }

  get size(): number {
    return this.#topics.size;
  }

  get dirty(): ReadonlySet<Topic> {
    return this.#dirty;
  }

  /** An unclean restart that may have lost visible records begins an era: topics that were made before it get
   *  another epoch. So does each declaration that records of the topic are lost. */
  readonly epochOf = (base: string, era: number, damages: number): string =>
    era === this.era ? epochText(base, damages) : `${epochText(base, damages)}-${this.era}`;

  /** The version after the declaration that records are lost. */
  damaged(version: TopicVersion): TopicVersion {
    const damages = version.damages + 1;
    const epoch = this.epochOf(version.base, version.era, damages);
    return { ...version, damages, state: { ...version.state, epoch } };
  }

  /** Gives every topic another epoch, except for the `kept` ones. Only before anything is
   *  served. */
  async beginEra(era: number, kept: ReadonlySet<Topic>, slice: TurnSlice): Promise<void> {
    const before = this.era;
    this.era = era;
    slice.begin();
    for (const topic of this.#topics.values()) {
      if (slice.isOver()) await slice.next();
      const { visible } = topic;
      if (visible === undefined) continue;
      const { state, base, damages } = visible;
      topic.visible =
        kept.has(topic) && visible.era === before
          ? { ...visible, era }
          : { ...visible, state: { ...state, epoch: this.epochOf(base, visible.era, damages) } };
      topic.pending = topic.visible;
    }
  }

  /** The topic if it exists or has a tombstone. A search for a topic that never existed takes no memory. */
  find(name: LiteTopicName): Topic | undefined {
    const topic = this.#topics.get(name);
    if (topic !== undefined) {
      topic.used = true;
      return topic;
    }
    const entry = this.#index.topic(name);
    return entry === undefined ? undefined : this.#load(name, entry);
  }

  /** The topic, or a new one to write to. */
  get(name: LiteTopicName): Topic {
    return this.find(name) ?? this.#hold(new Topic(name, this.#context));
  }

  /** The topic if it is in memory. */
  loaded(name: LiteTopicName): Topic | undefined {
    return this.#topics.get(name);
  }

  /** The topic in memory, or a copy from the index that the table does not keep: lists and sweeps must not remove
   *  topics that are in use. */
  peek(name: LiteTopicName, entry: Buffer): Topic {
    return this.#topics.get(name) ?? this.#decode(name, entry);
  }

  *loadedTopics(): Generator<Topic> {
    yield* this.#topics.values();
  }

  /** Marks the topic as changed. @throws BrokerError failed: the object has left memory. Two objects of one topic
   *  would count its end twice, and the next checkpoint would delete segments that hold other topics, so the engine
   *  must record nothing after that. */
  touch(topic: Topic): void {
    if (topic.dirty) return;
    if (this.#topics.get(topic.name) !== topic)
      throw new BrokerError('failed', `${topic.name} was changed through an object that had left memory`);
    topic.dirty = true;
    this.#dirty.add(topic);
  }

  /** The moved frame is durable at `location`. Nothing is decided here, so a replay comes to the same state. */
  relocate({ from, topic: name, epoch, runs }: MovedFrame<unknown>, location: FrameLocation): void {
    const topic = this.find(name);
    // The topic has ended meanwhile, or is another one: then the frame holds nothing that is live.
    if (topic?.visible?.base !== epoch) return;
    let hasMoved = false;
    for (const { first, records } of runs) if (topic.relocate(from, first, records.length, location)) hasMoved = true;
    if (hasMoved) this.touch(topic);
  }

  /** The changed topics, for a checkpoint: the caller marks each as clean when it has captured it. What changes before
   *  that is captured with it, and what changes afterwards is for the next checkpoint. */
  takeDirty(): ReadonlySet<Topic> {
    const taken = this.#dirty;
    this.#dirty = new Set();
    return taken;
  }

  #load(name: LiteTopicName, entry: Buffer): Topic {
    return this.#hold(this.#decode(name, entry));
  }

  #decode(name: LiteTopicName, bytes: Buffer): Topic {
    const entry = decodeTopicEntry(bytes, this.epochOf);
    const topic = new Topic(name, this.#context);
    topic.id = entry.id;
    topic.visible = entry.version;
    topic.pending = entry.version;
    topic.tombstone = entry.tombstone;
    topic.bytes = entry.bytes;
    topic.indexedAt = entry.indexedAt;
    topic.consumed = entry.consumed === undefined ? undefined : new Map(entry.consumed);
    topic.delivered = entry.delivered === undefined ? undefined : new Map(entry.delivered);
    return topic;
  }

  #hold(topic: Topic): Topic {
    this.#topics.set(topic.name, topic);
    if (this.#topics.size > this.#limits.idleTopicsMax) this.#makeRoom(SWEEP_STEPS, topic);
    return topic;
  }

  /** Removes the topics beyond `idleTopicsMax` that are not in use, in slices: what a checkpoint has just written would
   *  otherwise stay in memory until other topics are loaded. */
  async trim(): Promise<void> {
    this.#trimming.begin();
    // The hand passes each topic twice: in between, a topic that is in use is used again.
    for (let left = 2 * this.#topics.size; left > 0; left -= TRIM_STEPS) {
      if (this.#topics.size <= this.#limits.idleTopicsMax) return;
      this.#makeRoom(Math.min(left, TRIM_STEPS), undefined);
      if (this.#trimming.isOver()) await this.#trimming.next();
    }
  }

  /** The clock algorithm: the hand moves over the topics and removes each one that was not used since its last pass.
   *  The hand stays where it is between calls: to find the first topic again, a map steps over every entry that was
   *  deleted, and a start that replays 200,000 topics would take minutes. */
  #makeRoom(steps: number, kept: Topic | undefined): void {
    for (let step = 0; step < steps && this.#topics.size > this.#limits.idleTopicsMax; step++) {
      const { value: topic } = this.#hand.next();
      if (topic === undefined) {
        this.#hand = this.#topics.values();
        continue;
      }
      if (topic === kept || topic.used || !topic.evictable) topic.used = false;
      else {
        this.#topics.delete(topic.name);
        topic.forget();
      }
    }
  }

  #loadChunk(topicId: number, index: number): RecordChunk {
    const bytes = this.#index.chunk(topicId, index);
    if (bytes === undefined) throw new BrokerError('corrupt', `the index has lost chunk ${index} of topic ${topicId}`);
    return RecordChunk.decode(index, bytes);
  }
}
