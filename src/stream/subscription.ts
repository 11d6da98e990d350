// One reader of one chat. It catches up from its position, is live, and catches up again whenever it falls behind.
// Invariants:
//  - the sink receives exactly the records behind the position, in order and each once, or a reset;
//  - the position is the last offset written; it moves with a write and never otherwise;
//  - no `await` is between the check that the reader has reached the live topic and the start of its live phase;
//  - a slow reader holds no unsent tokens in memory: it goes back to catch-up, and the log is its buffer. Projections
//    hold more: the text of their run, once for all live readers of a node.
import { isSamePosition, type QueuePosition } from '../session/events/queue-position.ts';
import type { Broker, LogItem, Reset, TopicInfo } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Position } from '../broker/position.ts';
import { readFinishedAnswer, type FinishedAnswer } from '../session/events/finished-answer.ts';
import { pacedRead } from '../session/events/paced-read.ts';
import type { StopSignal } from '../base/stop-signal.ts';
import type { CatchUpGate } from './catch-up-gate.ts';
import type { EventSink, Frame, StreamEnd } from './event-sink.ts';
import { coalesceAround, fillAround, fillExactly } from './events/cut.ts';
import type { LiveTopic, LiveBatch, LiveTopicListener } from './live-topic.ts';
import type { TopicHub } from './topic-hub.ts';
import type { WireEncoder } from './projection.ts';
import { findGap } from './events/find-gap.ts';
import { joining } from './events/joining.ts';
import { lostEvent, wireEvent, type WireEvent } from './events/wire-event.ts';

/** Bytes that a connection may buffer before its reader goes back to catch-up. */
export const OUTBOX_BYTES_MAX = 256 * 1024;
/** Bytes of the log in one read of a catch-up. */
export const CATCH_UP_BYTES = 256 * 1024;

/** Counts what a stream does; the gateway makes metrics of it. */
export interface DeliveryObserver {
  onReset(reason: Reset['reason']): void;
  /** The subscription wrote a live batch to its connection. */
  onDelivered(events: number): void;
  onFellBehind(): void;
}

export interface SubscriptionOptions {
  readonly broker: Broker;
  readonly hub: TopicHub;
  readonly topic: LiteTopicName;
  /** Delivery begins after this position. Undefined: at the earliest record. */
  readonly after: Position | undefined;
  readonly encoder: WireEncoder;
  readonly sink: EventSink;
  readonly signal: StopSignal;
  /** The last `session.updated` event: a reader that catches up does not receive the earlier ones. Undefined where
   *  it is not known. */
  readonly info: Position | undefined;
  /** The gate of the node: every reader that catches up passes it. */
  readonly gate: CatchUpGate;
  /** The user of this reader: the gate serves users in turn. */
  readonly user: string;
  /** The offset up to which the reader holds everything. No delta is merged across it, and placeholders replace the
   *  text up to it that the log has lost. Only projections need it. */
  readonly cut?: number | undefined;
  /** A catch-up merges no deltas. Without `cut`. */
  readonly isExact?: boolean | undefined;
  /** What follows a reset: the stream restarts at the earliest record, or ends. */
  readonly onReset: 'restart' | 'close';
  /** Returns the offset of the last decision in a chat without runs. The live stream ends once that offset has been
   *  delivered. */
  readonly idleAt?: (() => Promise<number | undefined>) | undefined;
  readonly observer: DeliveryObserver;
  /** Called at the end of each catch-up. */
  readonly onLive?: (() => void) | undefined;
}

type Outcome = StreamEnd | 'again';

interface LivePhase {
  readonly woken: Promise<Outcome>;
}

export class Subscription implements LiveTopicListener {
  readonly #options: SubscriptionOptions;
  /** The options that every token uses, in fields of their own. */
  readonly #sink: EventSink;
  readonly #encoder: WireEncoder;
  readonly #observer: DeliveryObserver;
  readonly #idleAt: SubscriptionOptions['idleAt'];
  #epoch: string | undefined;
  /** The next offset to write. */
  #next = 0;
  /** A read from the position has succeeded. Before that, the position of a reader is only a claim. */
  #isVerified = false;
  #isLive = false;
  /** The live topic that the reader has read further than. */
  #ahead: LiveTopic | undefined;
  /** The reader met a hole, started over, and has not been live since. */
  #isRereading = false;
  /** Set once the reader has received a `lost` event: the runs whose text joins what the reader holds of them. */
  #joins: Set<string> | undefined;
  /** The queue positions that the reader has received. */
  #queue: ReadonlyMap<string, QueuePosition> | undefined;
  /** The topic as the caller has just read it, for the first round only. It is not an option, because the options
   *  stay in memory as long as the stream. */
  #topicInfo: TopicInfo | undefined;
  /** Ends the wait of a live phase, or the wait for a slow connection. */
  #wake: ((outcome: Outcome) => void) | undefined;

  /** `topicInfo`: the topic as the caller has just read it. Undefined: the hub describes it. */
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

  /** Runs until the stream ends or the signal aborts. Rejects only with an error for which the wire has no event.
   *  One round is a catch-up and a live phase. The round is inlined: each extra async frame would stay in memory for
   *  as long as the stream is idle (hot: ADR 7 §9). */
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
        // Its last listener may have left during the wait.
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
    if (!this.#isLive) return;
    if (batch.next > this.#next) this.#take(batch);
    if (this.#ahead !== undefined && batch.next === this.#next) this.#joinLive(this.#ahead);
  }

  #take(batch: LiveBatch): void {
    if (batch.hasHole || batch.from > this.#next) {
      this.#fallBehind();
      return;
    }
    const isWhole = batch.from === this.#next;
    const events = isWhole ? batch.events : batch.eventsFrom(this.#next);
    this.#next = batch.next;
    if (events.length === 0) return;
    this.#send(isWhole ? batch.frame(this.#encoder) : this.#encoder.encodeEvents(batch.epoch, events));
    this.#observer.onDelivered(events.length);
    // Not before the batch: readers in step have its frames by then.
    if (this.#sink.bufferedBytes > OUTBOX_BYTES_MAX) this.#fallBehind();
    // Any event but a delta may be the decision after which the stream ends.
    if (this.#idleAt !== undefined && events.some((event) => event.type !== 'delta')) this.#leaveLive();
  }

  /** Sends only positions that have changed. A reader that is behind receives them with the next notice. */
  onQueue(queuePositions: ReadonlyMap<string, QueuePosition>): void {
    if (!this.#isLive || this.#sink.bufferedBytes > OUTBOX_BYTES_MAX) return;
    for (const [runId, position] of queuePositions) {
      if (!isSamePosition(position, this.#queue?.get(runId)))
        this.#send(this.#encoder.encodeControl({ type: 'queue', runId, ...position }));
    }
    this.#queue = queuePositions;
  }

  onExpiring(expiresAt: number): void {
    if (this.#isLive) this.#send(this.#encoder.encodeControl({ type: 'expiring', expiresAt }));
  }

  onEnd(): void {
    // A read from the position returns the exact reason.
    this.#leaveLive();
  }

  #send(frame: Frame): void {
    if (frame.length > 0) this.#sink.write(frame);
    if (this.#encoder.over !== undefined) this.#leaveLive();
  }

  /** How the stream ends where it is over by the rules of its wire. */
  #overOutcome(): StreamEnd | undefined {
    const { over } = this.#encoder;
    return over === undefined ? undefined : over === 'end' ? 'done' : 'broken';
  }

  #joinLive({ lockstep }: LiveTopic): void {
    this.#ahead = undefined;
    this.#encoder.joinLive?.(lockstep, this.#next);
  }

  #fallBehind(): void {
    this.#observer.onFellBehind();
    this.#leaveLive();
  }

  /** Leaves the live readers at once, and not with the round: more batches may come before the round ends. They would
   *  be made to frames that this reader is never sent, and it would be cut for that. */
  #leaveLive(): void {
    this.#isLive = false;
    this.#ahead = undefined;
    this.#encoder.leaveLive?.(this.#options.signal.aborted);
    this.#wake?.('again');
  }

  #leave(live: LiveTopic): void {
    this.#leaveLive();
    this.#wake = undefined;
    this.#options.hub.leave(live, this);
  }

  /** Handles a topic that does not exist: a read returns its tombstone, or nothing at all. */
  async #readGone(): Promise<Outcome> {
    const result = await this.#read();
    if (result.kind === 'batch') return 'again';
    if (result.kind === 'reset') return this.#reset(result);
    // A reader that holds nothing has lost nothing: its stream ends, and its next request fails with `not-found`.
    return this.#epoch === undefined ? 'removed' : this.#reset(this.#vanished(this.#epoch));
  }

  /** The reset of a topic that the store lost with its tombstone (a flushed or replaced Redis). It equals the reset
   *  of a removed chat: otherwise the reader would take the end of its stream for a broken connection, and keep a
   *  chat that does not exist. */
  #vanished(epoch: string): Reset {
    return { kind: 'reset', reason: 'removed', epoch: this.#epoch ?? epoch, earliest: 0, next: this.#next };
  }

  async #catchUp(live: LiveTopic): Promise<Outcome | LivePhase> {
    for (;;) {
      await this.#drained();
      // A live topic that ended during the read did not notify this reader, so the reader must not go live on it.
      if (this.#options.signal.aborted || live.over.aborted) return 'again';
      if (this.#isVerified && this.#epoch === live.epoch && this.#next >= Math.max(live.next, this.#firstUnheld))
        return this.#goLive(live);
      const outcome = await this.#inTurn(() => this.#readOn(live));
      if (outcome !== undefined) return outcome;
    }
  }

  /** The first offset behind the cut. The live topic can be behind the cut: its tail delivers late. Its batches know no
   *  cut, so a reader that went live before the cut would receive deltas that are merged across it. */
  get #firstUnheld(): number {
    return (this.#options.cut ?? -1) + 1;
  }

  /** Reads one page of history when it is this reader's turn. */
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
    // Not 'again': the live topic may not have ended yet, and until then this reader would read in a busy loop.
    if (result.kind === 'missing') return this.#reset(this.#vanished(live.epoch));
    if (result.kind === 'reset') return this.#reset(result);
    if (result.epoch !== live.epoch) return 'again';
    const gap = findGap(result, this.#epoch === undefined ? undefined : this.#next);
    if (gap !== undefined) return this.#reset(gap);
    this.#isVerified = true;
    this.#epoch = result.epoch;
    await this.#write(result.epoch, result.items);
    const over = this.#overOutcome();
    if (over !== undefined) return over;
    // The log has lost its end since the stream began. Without a reset the reader would read in a busy loop.
    if (result.items.length === 0 && result.next < this.#firstUnheld) {
      const { epoch, next } = result;
      return this.#reset({ kind: 'reset', reason: 'ahead-of-log', epoch, earliest: 0, next });
    }
    this.#next = result.next;
    return undefined;
  }

  /** Must not await: the reader receives every batch from here on, and an end of the phase must find `#wake` set. */
  #goLive(live: LiveTopic): LivePhase {
    this.#isLive = true;
    this.#isRereading = false;
    this.#options.onLive?.();
    const woken = new Promise<Outcome>((resolve) => (this.#wake = resolve));
    if (this.#idleAt === undefined) this.#send(this.#encoder.encodeControl({ type: 'live', position: this.position }));
    if (live.expiresAt !== undefined) this.onExpiring(live.expiresAt);
    if (this.#next === live.next) this.#joinLive(live);
    else if (this.#encoder.joinLive !== undefined) this.#ahead = live;
    return { woken };
  }

  async #read(): ReturnType<Broker['read']> {
    const { broker, topic } = this.#options;
    const from = this.#epoch === undefined ? 'earliest' : { epoch: this.#epoch, offset: this.#next };
    return pacedRead(broker, topic, from, { maxBytes: CATCH_UP_BYTES });
  }

  async #write(epoch: string, items: readonly LogItem[]): Promise<void> {
    const events: WireEvent[] = [];
    const { cut, isExact = false } = this.#options;
    // An answer with many parts leaves many adjacent holes. The answer is read once for all of them.
    let filler: { readonly by: number; readonly answer: FinishedAnswer | undefined } | undefined;
    for (const item of items) {
      if (item.kind === 'hole') {
        if (filler?.by !== item.by) filler = { by: item.by, answer: await this.#readAnswer(epoch, item.by) };
        const { answer } = filler;
        if (answer === undefined) events.push(lostEvent(item));
        else
          for (const filled of isExact ? fillExactly(item, answer) : fillAround(item, answer, cut)) events.push(filled);
      }
      const event = wireEvent(item);
      if (event !== undefined && !this.#isOutdated(epoch, event)) events.push(event);
    }
    const joined = joining(events, this.#joins);
    this.#joins = joined.joins;
    if (joined.events.length === 0 || this.#options.signal.aborted) return;
    this.#send(this.#encoder.encodeEvents(epoch, isExact ? joined.events : coalesceAround(joined.events, cut)));
  }

  /** Whether a later event replaces this one. Each change of title or metadata carries the whole state, so a reader
   *  that receives the last change needs none of the earlier ones. */
  #isOutdated(epoch: string, { type, offset }: WireEvent): boolean {
    const { info } = this.#options;
    return type === 'session.updated' && info?.epoch === epoch && offset < info.offset;
  }

  #readAnswer(epoch: string, by: number): Promise<FinishedAnswer | undefined> {
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
    // A second restart would meet the same hole, and the stream would be an endless sequence of resets.
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
    this.#joins = undefined;
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
