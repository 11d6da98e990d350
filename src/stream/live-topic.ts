// The live end of one topic on this node. It passes each batch of its tail to its listeners, synchronously and encoded
// once for each wire. It also exposes the next offset that it delivers: a subscription compares this offset with its
// own to go from catch-up to live without losing or repeating a record.
import type { QueuePosition } from '../session/events/queue-position.ts';
import type { LogBatch, LogItem, ReadResult, Reset, TopicInfo, TailListener } from '../broker/broker.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import { StopController } from '../base/stop-signal.ts';
import type { Frame } from './event-sink.ts';
import { Lockstep } from './lockstep.ts';
import type { WireEncoder } from './projection.ts';
import { coalesce, wireEvent, type WireEvent } from './events/wire-event.ts';

const NO_EVENTS: readonly WireEvent[] = [];

export interface LiveTopicListener {
  onBatch(batch: LiveBatch): void;
  /** The live topic is over: the topic ended or changed, or (undefined) the tail failed. */
  onEnd(reset: Reset | undefined): void;
  /** The current queue position of each queued run, by run id. */
  onQueue(queuePositions: ReadonlyMap<string, QueuePosition>): void;
  /** The topic ends at this time although it is watched, ms since 1970. */
  onExpiring(expiresAt: number): void;
}

/** The owner of a live topic: the hub. */
export interface LiveTopicKeeper {
  onDelivered(live: LiveTopic, batch: LiveBatch): void;
  /** The live topic delivers nothing after this. */
  onOver(live: LiveTopic, reset: Reset | undefined): void;
  onError(error: unknown): void;
}

/** The live topic is itself the listener of its tail, with no object between them: with thousands of live topics, each
 *  object that a token passes costs a cache miss (hot: ADR 7 §7). */
export class LiveTopic implements TailListener {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** The offset of the next record that it delivers. */
  next: number;
  /** Aborted when the last listener has left, or when the tail has ended. */
  readonly over = new StopController();
  /** By the monotonic clock: when the node checks how much time the topic has left. */
  renewAt: number;
  /** The end of the topic that its listeners were notified of, ms since 1970. */
  expiresAt: number | undefined;
  readonly #keeper: LiveTopicKeeper;
  /** Most chats have one viewer, so the first listener needs no list (hot: ADR 7 §7). */
  #first: LiveTopicListener | undefined;
  #others: Set<LiveTopicListener> | undefined;
  #lockstep: Lockstep | undefined;

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

  /** Of its listeners that fold runs. */
  get lockstep(): Lockstep {
    return (this.#lockstep ??= new Lockstep());
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

  notifyQueue(queuePositions: ReadonlyMap<string, QueuePosition>): void {
    this.#first?.onQueue(queuePositions);
    for (const listener of this.#others ?? []) listener.onQueue(queuePositions);
  }

  notifyExpiring(expiresAt: number): void {
    this.expiresAt = expiresAt;
    this.#first?.onExpiring(expiresAt);
    for (const listener of this.#others ?? []) listener.onExpiring(expiresAt);
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

/** What a live topic delivers at once: the events from `from` up to (not including) `next`. */
export class LiveBatch {
  readonly epoch: string;
  readonly from: number;
  readonly next: number;
  /** A slow tail may receive a hole. Only a reader that catches up can fill it. */
  readonly hasHole: boolean;
  readonly events: readonly WireEvent[];
  /** The events of runs change when a chat expires. */
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
      // A literal of one: most live batches are one token, and `push` on an empty list allocates room for sixteen more
      // (hot: ADR 7 §1).
      if (events === undefined) events = [event];
      else events.push(event);
    }
    this.hasHole = hasHole;
    this.hasRunEvent = hasRunEvent;
    this.events = events === undefined ? NO_EVENTS : coalesce(events);
  }

  /** The rest of the batch, for a reader that has already read part of it from the log. */
  eventsFrom(offset: number): readonly WireEvent[] {
    const rest = this.#items.filter((item) => item.kind === 'record' && item.offset >= offset);
    return coalesce(rest.map(wireEvent).filter((event) => event !== undefined));
  }

  /** The whole batch in one frame; as bytes where several listeners write it. */
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
