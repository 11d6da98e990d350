// One reader of one chat: catching up from its cursor, then live, then catching up again whenever it falls
// behind. This is the only place where history meets the present. Its invariants:
//  - what is written to the sink is exactly what stands after the cursor, in order, nothing twice, or a reset;
//  - the cursor is the last offset written; it moves with the write and never otherwise;
//  - going live happens without an await between "I have read up to where the feed is" and "I listen";
//  - a slow reader holds no tokens in memory: it is put back to catching up, and the log is its buffer.
import type { Broker, Hole, LogBatch, LogItem, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Position } from '../broker/position.ts';
import { fillHole, readFinishedAnswer, type FinishedAnswer } from '../session/events/finished-answer.ts';
import { pacedRead } from '../session/events/paced-read.ts';
import type { StopSignal } from '../base/stop-signal.ts';
import type { CatchUpGate } from './catch-up-gate.ts';
import type { EventSink, Frame, StreamEnd } from './event-sink.ts';
import { coalesceAround, fillAround } from './cut.ts';
import type { LiveTopic, LiveBatch, LiveTopicListener } from './live-topic.ts';
import type { TopicHub } from './topic-hub.ts';
import type { WireEncoder } from './projection.ts';
import { coalesce, toWireEvent, wireEvent, type WireEvent } from './wire-event.ts';

/** Bytes that may wait in a connection before its reader is put back to catching up. */
export const OUTBOX_BYTES_MAX = 256 * 1024;
/** Bytes of log read at a time while catching up. */
export const CATCH_UP_BYTES = 256 * 1024;

/** What a stream counts; the gateway turns it into metrics. */
export interface DeliveryObserver {
  onReset(reason: Reset['reason']): void;
  /** A live batch was handed to a connection. */
  onDelivered(events: number): void;
  onFellBehind(): void;
}

export interface SubscriptionOptions {
  readonly broker: Broker;
  readonly hub: TopicHub;
  readonly topic: LiteTopicName;
  /** Delivery begins after this; undefined: from the earliest. */
  readonly after: Position | undefined;
  readonly encoder: WireEncoder;
  readonly sink: EventSink;
  readonly signal: StopSignal;
  /** The last event that says what the chat is called and carries: earlier ones are not told any more to who catches up.
   *  Undefined where it is not known. */
  readonly info: Position | undefined;
  /** Of the node: every reader that catches up passes it. */
  readonly gate: CatchUpGate;
  /** Whose reader this is: users catch up in turn. */
  readonly user: string;
  /** Offset across which nothing is merged, of a reader that holds everything up to it; what the log has lost of the text up
   *  to it is stood in for. Only projections need it. */
  readonly cut?: number | undefined;
  /** A position that cannot be served: start over from the earliest (default), or end after saying so. */
  readonly onReset: 'restart' | 'close';
  /** Ends the stream, live, once this gives an offset that has been delivered: that of the last decision in a chat
   *  without runs. */
  readonly idleAt?: (() => Promise<number | undefined>) | undefined;
  readonly observer: DeliveryObserver;
  /** Called whenever it has caught up. */
  readonly onLive?: (() => void) | undefined;
}

type Outcome = StreamEnd | 'again';

interface LivePhase {
  readonly woken: Promise<Outcome>;
}

export class Subscription implements LiveTopicListener {
  readonly #options: SubscriptionOptions;
  /** Beside the options: what every token passes. */
  readonly #sink: EventSink;
  readonly #encoder: WireEncoder;
  readonly #observer: DeliveryObserver;
  readonly #idleAt: SubscriptionOptions['idleAt'];
  #epoch: string | undefined;
  /** The next offset to write. */
  #next = 0;
  /** The position a reader comes with is only a claim until a read from it has succeeded. */
  #isVerified = false;
  #isLive = false;
  /** The reader met a hole, started over, and has not been live since. */
  #isRereading = false;
  /** What its reader was told of the runs that wait. */
  #queue: ReadonlyMap<string, number> | undefined;
  /** The topic as the caller has just read it, for the first round. Not among the options, which last as long as the stream. */
  #topicInfo: TopicInfo | undefined;
  /** Ends the wait of a live phase, or for a slow connection. */
  #wake: ((outcome: Outcome) => void) | undefined;

  /** `topicInfo`: as the caller has just read it; undefined where the hub must. */
  constructor(options: SubscriptionOptions, topicInfo?: TopicInfo) {
    this.#options = options;
    this.#topicInfo = topicInfo;
    this.#sink = options.sink;
    this.#encoder = options.encoder;
    this.#observer = options.observer;
    this.#idleAt = options.idleAt;
    this.#epoch = options.after?.epoch;
    this.#next = options.after === undefined ? 0 : options.after.offset + 1;
  }

  /** The last position written, undefined before the first. */
  get position(): Position | undefined {
    return this.#epoch === undefined || this.#next === 0 ? undefined : { epoch: this.#epoch, offset: this.#next - 1 };
  }

  /** Runs until the stream ends or the signal aborts. Rejects only with what its reader cannot be told otherwise.
   *  One round: catch up, then stay live until something ends that. It is not a function of its own, because the state
   *  of each that waits is among the largest things that an idle stream keeps. */
  async run(): Promise<void> {
    const { hub, topic, signal } = this.#options;
    const interrupt = (): void => this.#wake?.('again');
    signal.addEventListener('abort', interrupt, { once: true });
    try {
      let outcome: Outcome = 'again';
      while (outcome === 'again' && !signal.aborted) {
        const over = this.#overOutcome();
        if (over !== undefined) {
          outcome = over;
          break;
        }
        const opening = hub.open(topic, this.#topicInfo);
        // By the second round the topic may be in another epoch.
        this.#topicInfo = undefined;
        const live = await opening;
        if (live === undefined) {
          outcome = await this.#readGone();
          continue;
        }
        // Its last viewer may have left while this one waited for it.
        if (live.over.aborted) continue;
        live.add(this);
        try {
          const caughtUp = await this.#catchUp(live);
          outcome = typeof caughtUp === 'string' ? caughtUp : await this.#stayLive(caughtUp.woken);
        } finally {
          this.#leave(live);
        }
      }
      if (outcome !== 'again') this.#sink.end(outcome);
    } finally {
      signal.removeEventListener('abort', interrupt);
    }
  }

  onBatch(batch: LiveBatch): void {
    if (!this.#isLive || batch.next <= this.#next) return;
    if (batch.hasHole || batch.from > this.#next || this.#sink.bufferedBytes > OUTBOX_BYTES_MAX) {
      this.#observer.onFellBehind();
      this.#leaveLive();
      return;
    }
    const isWhole = batch.from === this.#next;
    const events = isWhole ? batch.events : batch.eventsFrom(this.#next);
    this.#next = batch.next;
    if (events.length === 0) return;
    this.#send(isWhole ? batch.frame(this.#encoder) : this.#encoder.encodeEvents(batch.epoch, events));
    this.#observer.onDelivered(events.length);
    // Whatever is no token may be the decision that the end of the stream waits for.
    if (this.#idleAt !== undefined && events.some((event) => event.type !== 'delta')) this.#leaveLive();
  }

  /** Only what is new, and only to a reader that keeps up: another hears it at the next look. */
  onQueue(places: ReadonlyMap<string, number>): void {
    if (!this.#isLive || this.#sink.bufferedBytes > OUTBOX_BYTES_MAX) return;
    for (const [runId, ahead] of places) {
      if (this.#queue?.get(runId) !== ahead) this.#send(this.#encoder.encodeControl({ type: 'queue', runId, ahead }));
    }
    this.#queue = places;
  }

  onEnd(): void {
    // Whatever ended the feed, reading from the cursor says it exactly.
    this.#leaveLive();
  }

  #send(frame: Frame): void {
    if (frame.length > 0) this.#sink.write(frame);
    if (this.#encoder.over !== undefined) this.#leaveLive();
  }

  /** Of a wire whose own stream is over. */
  #overOutcome(): StreamEnd | undefined {
    const { over } = this.#encoder;
    return over === undefined ? undefined : over === 'end' ? 'done' : 'broken';
  }

  #leaveLive(): void {
    this.#isLive = false;
    this.#wake?.('again');
  }

  #leave(live: LiveTopic): void {
    this.#isLive = false;
    this.#wake = undefined;
    this.#options.hub.leave(live, this);
  }

  /** The topic is not there: a read says what became of it, or that the store knows nothing of it. */
  async #readGone(): Promise<Outcome> {
    const result = await this.#read();
    if (result.kind === 'batch') return 'again';
    if (result.kind === 'reset') return this.#reset(result);
    // A reader that holds nothing has lost nothing: its stream ends, and the next request is told that there is no such chat.
    return this.#epoch === undefined ? 'removed' : this.#reset(this.#vanished(this.#epoch));
  }

  /** The store lost the topic with its tombstone (a flushed or replaced Redis). The reader must be told like one whose
   *  chat was removed, or it would take the end of its stream for a broken connection and keep what does not exist. */
  #vanished(epoch: string): Reset {
    return { kind: 'reset', reason: 'removed', epoch: this.#epoch ?? epoch, earliest: 0, next: this.#next };
  }

  async #catchUp(live: LiveTopic): Promise<Outcome | LivePhase> {
    for (;;) {
      await this.#drained();
      // A feed that ended while this reader was reading told nobody: it was not live, and must not become so.
      if (this.#options.signal.aborted || live.over.aborted) return 'again';
      if (this.#isVerified && this.#epoch === live.epoch && this.#next >= live.next) return this.#goLive();
      const outcome = await this.#inTurn(() => this.#readOn(live));
      if (outcome !== undefined) return outcome;
    }
  }

  /** One page of history, when it is this reader's turn. */
  async #inTurn(read: () => Promise<Outcome | undefined>): Promise<Outcome | undefined> {
    const { gate, user, signal } = this.#options;
    if (!(await gate.enter(user, signal))) return 'again';
    try {
      return await read();
    } finally {
      gate.leave(user);
    }
  }

  async #readOn(live: LiveTopic): Promise<Outcome | undefined> {
    const result = await this.#read();
    // Not "again": the feed may not know yet, and this reader would read without a pause until it does.
    if (result.kind === 'missing') return this.#reset(this.#vanished(live.epoch));
    if (result.kind === 'reset') return this.#reset(result);
    if (result.epoch !== live.epoch) return 'again';
    const gap = findGap(result, this.#epoch === undefined ? undefined : this.#next);
    if (gap !== undefined) return this.#reset(gap);
    this.#isVerified = true;
    this.#epoch = result.epoch;
    await this.#write(result.epoch, result.items);
    this.#next = result.next;
    return undefined;
  }

  /** Without an await: from here on every batch reaches this reader, and what ends the phase finds its wake. */
  #goLive(): LivePhase {
    this.#isLive = true;
    this.#isRereading = false;
    this.#options.onLive?.();
    const woken = new Promise<Outcome>((resolve) => (this.#wake = resolve));
    if (this.#idleAt === undefined) this.#send(this.#encoder.encodeControl({ type: 'live', position: this.position }));
    return { woken };
  }

  async #read(): ReturnType<Broker['read']> {
    const { broker, topic } = this.#options;
    const from = this.#epoch === undefined ? 'earliest' : { epoch: this.#epoch, offset: this.#next };
    return pacedRead(broker, topic, from, { maxBytes: CATCH_UP_BYTES });
  }

  async #write(epoch: string, items: readonly LogItem[]): Promise<void> {
    const events: WireEvent[] = [];
    const { cut } = this.#options;
    // An answer with many parts leaves many holes, one behind the other: it is read once for all of them.
    let filler: { readonly by: number; readonly answer: FinishedAnswer } | undefined;
    for (const item of items) {
      if (item.kind === 'hole') {
        if (filler?.by !== item.by) filler = { by: item.by, answer: await this.#readAnswer(epoch, item.by) };
        for (const filled of cut === undefined ? fill(item, filler.answer) : fillAround(item, filler.answer, cut))
          events.push(filled);
      }
      const event = wireEvent(item);
      if (event !== undefined && !this.#isOutdated(epoch, event)) events.push(event);
    }
    if (events.length === 0 || this.#options.signal.aborted) return;
    const merged = cut === undefined ? coalesce(events) : coalesceAround(events, cut);
    this.#send(this.#encoder.encodeEvents(epoch, merged));
  }

  /** A change of title or metadata says all that holds from then on; so the reader, who is given the last one later in the
   *  same reading, needs none of those before. */
  #isOutdated(epoch: string, { type, offset }: WireEvent): boolean {
    const { info } = this.#options;
    return type === 'session.updated' && info?.epoch === epoch && offset < info.offset;
  }

  #readAnswer(epoch: string, by: number): Promise<FinishedAnswer> {
    const { broker, topic } = this.#options;
    return readFinishedAnswer(broker, topic, epoch, by);
  }

  async #stayLive(woken: Promise<Outcome>): Promise<Outcome> {
    const idle = await this.#idleAt?.();
    if (idle === undefined || idle >= this.#next) return woken;
    this.#send(this.#encoder.encodeControl({ type: 'live', position: this.position }));
    return 'idle';
  }

  #reset(reset: Reset): Outcome {
    const { onReset, signal } = this.#options;
    if (signal.aborted) return 'again';
    const { reason, epoch, earliest, next } = reset;
    // To start over once more would meet the same hole: the stream would be resets without an end.
    if (reason === 'undeclared-hole' && this.#isRereading)
      throw new BrokerError('corrupt', `${this.#options.topic} cannot be read from its beginning`);
    this.#observer.onReset(reason);
    this.#send(this.#encoder.encodeControl({ type: 'reset', reason, epoch, earliest, next }));
    const over = this.#overOutcome();
    if (over !== undefined) return over;
    if (reason === 'expired' || reason === 'removed') return 'removed';
    if (onReset === 'close') return 'reset';
    this.#isRereading = reason === 'undeclared-hole';
    this.#epoch = undefined;
    this.#next = 0;
    return 'again';
  }

  async #drained(): Promise<void> {
    const { signal } = this.#options;
    while (this.#sink.bufferedBytes > OUTBOX_BYTES_MAX && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = () => resolve();
        this.#sink.onceDrained(resolve);
      });
    }
  }
}

function fill(hole: Hole, answer: FinishedAnswer): WireEvent[] {
  return fillHole(hole, answer).map(toWireEvent);
}

/** A log that leaves an offset out without saying so is not read on: the reader is told. `from` is undefined where the
 *  batch begins at the earliest offset, whichever that is. */
function findGap(batch: LogBatch, from: number | undefined): Reset | undefined {
  let expected = from;
  for (const item of batch.items) {
    const first = item.kind === 'hole' ? item.from : item.offset;
    expected ??= first;
    if (first !== expected) break;
    expected = (item.kind === 'hole' ? item.to : item.offset) + 1;
  }
  if ((expected ?? batch.next) === batch.next) return undefined;
  return { kind: 'reset', reason: 'undeclared-hole', epoch: batch.epoch, earliest: 0, next: batch.next };
}
