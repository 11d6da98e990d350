// The live end of one topic on this node: it hands each batch of its tail to whoever listens, synchronously, encoded once
// per wire, and says how far it has got, which is what a subscription needs to know to go from catching up to live
// without a seam.
import type { LogBatch, LogItem, ReadResult, Reset, TopicInfo, TailListener } from '../broker/broker.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import { StopController } from '../base/stop-signal.ts';
import type { Frame } from './event-sink.ts';
import type { WireEncoder } from './projection.ts';
import { coalesce, wireEvent, type WireEvent } from './wire-event.ts';

const NO_EVENTS: readonly WireEvent[] = [];

export interface LiveTopicListener {
  onBatch(batch: LiveBatch): void;
  /** The feed is over: the topic ended or changed, or (undefined) the tail failed. */
  onEnd(reset: Reset | undefined): void;
  /** How much is before each run that waits, now. */
  onQueue(places: ReadonlyMap<string, number>): void;
}

/** Who holds a feed hears what it did. */
export interface LiveTopicKeeper {
  onDelivered(live: LiveTopic, batch: LiveBatch): void;
  /** Nothing comes any more. */
  onOver(live: LiveTopic, reset: Reset | undefined): void;
  onError(error: unknown): void;
}

/** Its tail tells it, and it tells its listeners: no object more stands between them, because each that a token passes is
 *  fetched from far away where there are thousands of feeds. */
export class LiveTopic implements TailListener {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** The offset of the next record it will deliver. */
  next: number;
  /** Aborted when nobody follows it any more, or nothing comes. */
  readonly over = new StopController();
  /** By the monotonic clock: when to look how long the topic still lives. */
  renewAt: number;
  readonly #keeper: LiveTopicKeeper;
  /** Most chats have one viewer, and so no list of them. */
  #first: LiveTopicListener | undefined;
  #others: Set<LiveTopicListener> | undefined;

  constructor(topic: LiteTopicName, { epoch, next }: TopicInfo, renewAt: number, keeper: LiveTopicKeeper) {
    this.topic = topic;
    this.epoch = epoch;
    this.next = next;
    this.renewAt = renewAt;
    this.#keeper = keeper;
  }

  get isWatched(): boolean {
    return this.#first !== undefined || this.#others !== undefined;
  }

  add(listener: LiveTopicListener): void {
    if (this.#first === undefined) this.#first = listener;
    else (this.#others ??= new Set()).add(listener);
  }

  remove(listener: LiveTopicListener): void {
    if (listener === this.#first) this.#first = undefined;
    else if (this.#others?.delete(listener) === true && this.#others.size === 0) this.#others = undefined;
  }

  onResult(result: ReadResult): void {
    if (result.kind === 'batch') this.#deliver(result);
    else this.#keeper.onOver(this, result.kind === 'reset' ? result : undefined);
  }

  onEnd(): void {
    this.#keeper.onOver(this, undefined);
  }

  onError(error: unknown): void {
    this.#keeper.onError(error);
    this.onEnd();
  }

  notifyQueue(places: ReadonlyMap<string, number>): void {
    this.#first?.onQueue(places);
    for (const listener of this.#others ?? []) listener.onQueue(places);
  }

  notifyEnd(reset: Reset | undefined): void {
    this.#first?.onEnd(reset);
    for (const listener of this.#others ?? []) listener.onEnd(reset);
  }

  #deliver(batch: LogBatch): void {
    try {
      const delivered = new LiveBatch(batch, this.next, this.#others !== undefined);
      this.next = batch.next;
      this.#first?.onBatch(delivered);
      if (this.#others !== undefined) for (const listener of this.#others) listener.onBatch(delivered);
      if (delivered.hasRunEvent) this.#keeper.onDelivered(this, delivered);
    } catch (error) {
      this.onError(error);
    }
  }
}

/** What a feed delivers: the events of `from` up to (not including) `next`, or a hole, for which one must read. */
export class LiveBatch {
  readonly epoch: string;
  readonly from: number;
  readonly next: number;
  /** A tail that was slow may be given a hole: only catching up can fill it. */
  readonly hasHole: boolean;
  readonly events: readonly WireEvent[];
  /** How long a chat lives changes with its runs. */
  readonly hasRunEvent: boolean;
  readonly #items: readonly LogItem[];
  readonly #isShared: boolean;
  #frames: Map<string, Frame> | undefined;

  constructor(batch: LogBatch, from: number, isShared: boolean) {
    this.epoch = batch.epoch;
    this.from = from;
    this.next = batch.next;
    this.#items = batch.items;
    this.#isShared = isShared;
    let events: WireEvent[] | undefined;
    let hasHole = false;
    let hasRunEvent = false;
    for (const item of batch.items) {
      const event = wireEvent(item);
      if (item.kind === 'hole') hasHole = true;
      if (event === undefined) continue;
      if (event.type.startsWith('run.')) hasRunEvent = true;
      // Made for one: a live batch is one token mostly, and a list that is pushed to keeps room for sixteen more.
      if (events === undefined) events = [event];
      else events.push(event);
    }
    this.hasHole = hasHole;
    this.hasRunEvent = hasRunEvent;
    this.events = events === undefined ? NO_EVENTS : coalesce(events);
  }

  /** For a reader that has read part of this batch from the log already. */
  eventsFrom(offset: number): readonly WireEvent[] {
    const rest = this.#items.filter((item) => item.kind === 'record' && item.offset >= offset);
    return coalesce(rest.map(wireEvent).filter((event) => event !== undefined));
  }

  /** The whole batch in one frame; as bytes where several viewers write it. */
  frame(encoder: WireEncoder): Frame {
    if (!this.#isShared || encoder.key === undefined) return encoder.encodeEvents(this.epoch, this.events);
    this.#frames ??= new Map();
    const known = this.#frames.get(encoder.key);
    if (known !== undefined) return known;
    const encoded = encoder.encodeEvents(this.epoch, this.events);
    const frame = typeof encoded === 'string' ? Buffer.from(encoded) : encoded;
    this.#frames.set(encoder.key, frame);
    return frame;
  }
}
