// A reader that watches a chat as long as the world lasts, on any node and any wire. It is cut again and again, is
// sometimes too slow, and each time resumes from what it holds. It only records what it receives.
import { encodePosition, parsePosition, type Position } from '../../src/broker/position.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import type { EventSink, Frame, StreamEnd } from '../../src/stream/event-sink.ts';
import { OUTBOX_BYTES_MAX, Subscription } from '../../src/stream/subscription.ts';
import { sseWire, wsWire } from '../../src/wires/native.ts';
import type { History } from './history.ts';
import type { Plant } from './plant.ts';
import type { Random } from './random.ts';
import { turns, within } from './turns.ts';
import { observeEvent, parseSocketFrame, parseSseFrames, type WireEvent } from './wire-frames.ts';
import type { WorldNode } from './world-node.ts';

export interface ReaderSurroundings {
  readonly history: History;
  readonly random: Random;
  readonly plant: Plant;
  /** Resolves with a live node, once there is one. */
  readonly anyNode: () => Promise<WorldNode>;
  readonly onFault: (what: string, error: unknown) => void;
}

/** The share of connections that end when the chat is idle. */
const UNTIL_IDLE = 0.15;

export type WireName = 'sse' | 'ws';

/** How a reader takes what it receives. */
export interface ReaderHabits {
  /** Turns between two events. 0: it takes everything at once. */
  readonly lag: number;
}

/** The client half of a connection. Events that were not taken before a cut were lost on the way. */
class ClientSink implements EventSink {
  readonly #wire: WireName;
  readonly #lag: number;
  readonly #take: (event: WireEvent) => void;
  readonly #onEnd: (reason: StreamEnd) => void;
  readonly #drained: (() => void)[] = [];
  #waiting: (WireEvent | StreamEnd)[] = [];
  #isTaking = false;
  isStalled = false;
  isCut = false;

  constructor(wire: WireName, lag: number, take: (event: WireEvent) => void, onEnd: (reason: StreamEnd) => void) {
    this.#wire = wire;
    this.#lag = lag;
    this.#take = take;
    this.#onEnd = onEnd;
  }

  /** A stalled connection claims to be full, so that a few bytes have the effect of many. */
  get bufferedBytes(): number {
    return this.isStalled ? OUTBOX_BYTES_MAX + 1 : 0;
  }

  write(frame: Frame): void {
    if (this.isCut) return;
    const parse = this.#wire === 'sse' ? parseSseFrames : parseSocketFrame;
    this.#waiting.push(...parse(frame.toString()));
    this.#pump();
  }

  onceDrained(callback: () => void): void {
    this.#drained.push(callback);
  }

  unstall(): void {
    this.isStalled = false;
    for (const callback of this.#drained.splice(0)) callback();
    this.#pump();
  }

  end(reason: StreamEnd): void {
    this.#waiting.push(reason);
    this.#pump();
  }

  #pump(): void {
    if (this.#isTaking) return;
    if (this.#lag > 0) void this.#takeSlowly();
    else while (this.#takeNext());
  }

  async #takeSlowly(): Promise<void> {
    this.#isTaking = true;
    do await turns(this.#lag);
    while (this.#takeNext());
    this.#isTaking = false;
  }

  #takeNext(): boolean {
    if (this.isCut || this.isStalled) return false;
    const next = this.#waiting.shift();
    if (next === undefined) return false;
    if (typeof next === 'string') this.#onEnd(next);
    else this.#take(next);
    return true;
  }
}

export class WorldReader {
  readonly name: string;
  readonly session: string;
  readonly #around: ReaderSurroundings;
  readonly #habits: ReaderHabits;
  #held: Position | undefined;
  #sink: ClientSink | undefined;
  #hangUp: (() => void) | undefined;
  #isOver = false;
  #isLive = false;
  #lastEnd: StreamEnd | undefined;

  constructor(name: string, session: string, around: ReaderSurroundings, habits: ReaderHabits) {
    this.name = name;
    this.session = session;
    this.#around = around;
    this.#habits = habits;
  }

  /** True when the reader has received everything up to this position. */
  holds({ epoch, offset }: Position): boolean {
    return this.#held?.epoch === epoch && this.#held.offset >= offset;
  }

  /** Reads until `leave`. */
  async watch(): Promise<void> {
    const { random, anyNode } = this.#around;
    for (;;) {
      const node = await anyNode();
      if (this.#isOver) return;
      await this.#connect(node, random.pick(['sse', 'ws'] as const), this.#habits.lag);
      // A removed session may be created again, so the reader tries again later. After a cut it tries sooner.
      await turns(this.#lastEnd === undefined ? random.between(0, 3) : 10);
    }
  }

  /** Reads everything there is once, until the stream is live or ends. False when neither happened in time. */
  async readAll(node: WorldNode, wire: WireName, patienceMs: number): Promise<boolean> {
    const reading = this.#connect(node, wire, 0, true);
    const isRead = await within(
      patienceMs,
      () => turns(1),
      () => this.#isLive || this.#lastEnd !== undefined,
    );
    this.cut();
    await reading;
    return isRead;
  }

  /** Breaks the network between the reader and the node. */
  cut(): void {
    this.#hangUp?.();
  }

  stall(): void {
    if (this.#sink !== undefined) this.#sink.isStalled = true;
  }

  unstall(): void {
    this.#sink?.unstall();
  }

  leave(): void {
    this.#isOver = true;
    this.cut();
  }

  async #connect(node: WorldNode, wire: WireName, lag: number, final = false): Promise<void> {
    const { history, plant } = this.#around;
    const { name: reader, session } = this;
    this.#isLive = false;
    this.#lastEnd = undefined;
    const after = this.#held;
    history.record({
      kind: 'connect',
      reader,
      session,
      node: node.name,
      wire,
      ...(after === undefined ? {} : { after: encodePosition(after) }),
      ...(final ? { final } : {}),
    });
    const abort = new AbortController();
    const over = new Promise<string>((resolve) => {
      const sink = new ClientSink(wire, lag, (event) => this.#take(event), resolve);
      this.#sink = sink;
      this.#hangUp = () => resolve('cut');
      void node.died.then(() => resolve('cut'));
      this.#subscribe(
        node,
        wire,
        {
          sink: plant.sink?.(sink) ?? sink,
          after,
          isUntilIdle: !final && this.#around.random.chance(UNTIL_IDLE),
          signal: abort.signal,
        },
        (error) => {
          this.#tolerate(error);
          resolve('failed');
        },
      );
    });
    const reason = await over;
    if (this.#sink !== undefined) this.#sink.isCut = true;
    abort.abort();
    this.#hangUp = undefined;
    if (reason !== 'cut') this.#lastEnd = reason as StreamEnd;
    history.record({ kind: 'end', reader, reason });
  }

  #subscribe(
    node: WorldNode,
    wire: WireName,
    to: { sink: EventSink; after: Position | undefined; isUntilIdle: boolean; signal: AbortSignal },
    onFailure: (error: unknown) => void,
  ): void {
    const { plant } = this.#around;
    const encoder = (wire === 'sse' ? sseWire : wsWire(this.session)).shared;
    const subscription = new Subscription({
      broker: node.gate,
      hub: node.hub,
      gate: node.catchUps,
      user: 'user',
      info: undefined,
      topic: chatTopic({ tenant: 'default', sessionId: this.session }),
      encoder: plant.encoder?.(encoder) ?? encoder,
      sink: to.sink,
      after: to.after === undefined ? undefined : (plant.resume?.(to.after) ?? to.after),
      signal: to.signal,
      onReset: 'restart',
      ...(to.isUntilIdle ? { idleAt: () => node.idleAt(this.session) } : {}),
      observer: { onReset: () => undefined, onDelivered: () => undefined, onFellBehind: () => undefined },
    });
    subscription.run().catch(onFailure);
  }

  #take(event: WireEvent): void {
    const observed = observeEvent(this.name, event);
    if (observed !== undefined) this.#around.history.record(observed);
    if (event.id !== undefined) this.#held = parsePosition(event.id);
    if (event.type === 'live') this.#isLive = true;
    if (event.type === 'reset') this.#held = undefined;
  }

  /** Some failures reach a reader only as the end of its stream: the log failed, or its disk died. */
  #tolerate(error: unknown): void {
    const isExpected = error instanceof Error && (error.name === 'BrokerError' || error.name === 'DiskError');
    if (!isExpected) this.#around.onFault(`the stream of ${this.name}`, error);
  }
}
