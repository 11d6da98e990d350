// A whole chat without a wire: broker, session layer, hub, and a worker whose model the test controls.
import { pino, type Logger } from 'pino';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import type { Position } from '../../src/broker/position.ts';
import { Branches } from '../../src/session/branches.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Cursors } from '../../src/session/stores/cursors.ts';
import type { EndedRun, GoneRun } from '../../src/session/commands/command-log.ts';
import { Runs, type Prompt } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import type { Principal, SessionRef } from '../../src/session/session-ref.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import type { EventSink, Frame, StreamEnd } from '../../src/stream/event-sink.ts';
import { CatchUpGate } from '../../src/stream/catch-up-gate.ts';
import { Subscription, type SubscriptionOptions } from '../../src/stream/subscription.ts';
import { TopicHub } from '../../src/stream/topic-hub.ts';
import type { WireEncoder } from '../../src/stream/projection.ts';
import type { Agent } from '../../src/worker/agent.ts';
import type { Provider, ProviderEvent, ProviderRequest } from '../../src/worker/provider.ts';
import type { RunOutcome } from '../../src/worker/run/run-deps.ts';
import { Worker } from '../../src/worker/worker.ts';
import { eventually } from './wait-for.ts';
import { ManualClock } from './manual-clock.ts';

/** A model that emits what the test tells it to emit, when the test tells it. */
export class PlayedModel implements Provider {
  canContinue = true;
  readonly calls: PlayedCall[] = [];

  stream(request: ProviderRequest): AsyncIterable<ProviderEvent> {
    const call = new PlayedCall(request);
    this.calls.push(call);
    return call;
  }

  async call(index: number): Promise<PlayedCall> {
    await eventually(() => this.calls.length > index);
    const call = this.calls[index];
    if (call === undefined) throw new Error('no such call');
    return call;
  }
}

export class PlayedCall implements AsyncIterable<ProviderEvent> {
  readonly request: ProviderRequest;
  readonly #queue: (ProviderEvent | Error | 'cut')[] = [];
  #wake: (() => void) | undefined;

  constructor(request: ProviderRequest) {
    this.request = request;
    request.signal.addEventListener('abort', () => this.#wake?.());
  }

  get isAborted(): boolean {
    return this.request.signal.aborted;
  }

  say(...events: (string | ProviderEvent)[]): this {
    for (const event of events) this.#queue.push(typeof event === 'string' ? { type: 'text', text: event } : event);
    this.#wake?.();
    return this;
  }

  finish(): void {
    this.say({ type: 'usage', usage: { inputTokens: 1, outputTokens: 2 } }, { type: 'finish', reason: 'stop' });
  }

  /** Ends the stream without a finish event. */
  cut(): void {
    this.#queue.push('cut');
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#queue.push(error);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ProviderEvent, void, undefined> {
    for (;;) {
      const next = this.#queue.shift();
      if (next === 'cut' || this.isAborted) return;
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export interface SeenEvent {
  readonly offset: number;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

/** A connection of a test: keeps what was written, in order. Its kernel takes bytes only when the test lets it. */
export class TestSink implements EventSink {
  readonly events: SeenEvent[] = [];
  readonly controls: { type: string; [field: string]: unknown }[] = [];
  ended: StreamEnd | undefined;
  bufferedBytes = 0;
  isStuck = false;
  maxBuffered = 0;
  readonly #drained: (() => void)[] = [];

  write(frame: Frame): void {
    const text = frame.toString();
    if (this.isStuck) this.bufferedBytes += text.length;
    this.maxBuffered = Math.max(this.maxBuffered, this.bufferedBytes);
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const parsed = JSON.parse(line) as SeenEvent & { control?: { type: string } };
      if (parsed.control === undefined) this.events.push(parsed);
      else this.controls.push(parsed.control);
    }
  }

  onceDrained(callback: () => void): void {
    this.#drained.push(callback);
  }

  drain(): void {
    this.isStuck = false;
    this.bufferedBytes = 0;
    for (const callback of this.#drained.splice(0)) callback();
  }

  end(reason: StreamEnd): void {
    this.ended = reason;
  }
}

const testEncoder: WireEncoder = {
  key: 'test',
  over: undefined,
  encodeEvents: (_epoch, events) =>
    events.map(({ offset, type, json }) => `{"offset":${offset},"type":"${type}","data":${json}}\n`).join(''),
  encodeControl: (control) => `${JSON.stringify({ control })}\n`,
};

export interface Viewer {
  readonly sink: TestSink;
  readonly subscription: Subscription;
  readonly running: Promise<void>;
  leave(): Promise<void>;
}

export interface RigOptions {
  readonly broker?: BrokerEngine;
  readonly clock?: ManualClock;
  readonly agent?: Partial<Agent>;
  readonly leaseMs?: number;
  readonly onRunEnded?: (ended: EndedRun) => void;
  readonly onGone?: (gone: GoneRun) => void;
  /** Of the workers. Default: silent. */
  readonly logger?: Logger;
}

export class ChatRig {
  readonly clock: ManualClock;
  readonly broker: BrokerEngine;
  readonly log: CommandLog;
  readonly runs: Runs;
  readonly branches: Branches;
  readonly sessions: Sessions;
  readonly cursors: Cursors;
  readonly hub: TopicHub;
  readonly model = new PlayedModel();
  readonly alice: Principal = { tenant: 'default', user: 'alice' };
  readonly ref: SessionRef = { tenant: 'default', sessionId: 's1' };
  readonly errors: unknown[] = [];
  readonly fellBehind: number[] = [];
  /** For each answer that a takeover continued: the code units that it retained. */
  readonly continuedChars: number[] = [];
  /** How runs left the workers, in order. */
  readonly outcomes: RunOutcome[] = [];
  readonly #agent: Agent;
  readonly #leaseMs: number | undefined;
  readonly #logger: Logger;
  readonly #onGone: (gone: GoneRun) => void;
  readonly #workers: Worker[] = [];
  readonly #viewers: Viewer[] = [];
  #ids = 0;

  constructor({
    broker,
    clock,
    agent,
    leaseMs,
    onRunEnded,
    onGone = () => undefined,
    logger = pino({ level: 'silent' }),
  }: RigOptions = {}) {
    this.clock = clock ?? new ManualClock();
    let epochs = 0;
    this.broker = broker ?? new MemoryBroker({ clock: this.clock, newEpoch: () => `e${(epochs += 1)}` });
    this.log = new CommandLog(this.broker, Math.random, onRunEnded);
    this.runs = new Runs(this.broker, this.log, this.clock, () => `id${(this.#ids += 1)}`);
    this.branches = new Branches(this.broker, this.log, this.clock, () => `id${(this.#ids += 1)}`);
    this.sessions = new Sessions(this.broker, this.log, this.clock);
    this.cursors = new Cursors(this.broker);
    this.hub = new TopicHub({ broker: this.broker, clock: this.clock, onError: (error) => this.errors.push(error) });
    this.#leaseMs = leaseMs;
    this.#logger = logger;
    this.#onGone = onGone;
    this.#agent = {
      name: 'default',
      provider: this.model,
      model: 'm',
      takeover: 'continue',
      attemptsMax: 5,
      conversationChars: 100_000,
      ...agent,
    };
  }

  /** Another node on the same log; the two share only the broker. */
  otherNode(): { runs: Runs; log: CommandLog } {
    const log = new CommandLog(this.broker, Math.random);
    return { log, runs: new Runs(this.broker, log, this.clock, () => `other${(this.#ids += 1)}`) };
  }

  /** Starts a worker with the rig's agent, and with `others`, which differ from that agent in the given fields. */
  startWorker(concurrency = 8, ...others: (Partial<Agent> & Pick<Agent, 'name'>)[]): Worker {
    const agents = others.length === 0 ? [this.#agent] : others.map((other) => ({ ...this.#agent, ...other }));
    const worker = new Worker({
      broker: this.broker,
      log: this.log,
      runs: this.runs,
      clock: this.clock,
      logger: this.#logger,
      agents: new Map(agents.map((agent) => [agent.name, agent])),
      concurrency,
      onContinued: (chars) => this.continuedChars.push(chars),
      onOutcome: (outcome) => this.outcomes.push(outcome),
      onGone: this.#onGone,
      ...(this.#leaseMs === undefined ? {} : { leaseMs: this.#leaseMs }),
    });
    worker.start();
    this.#workers.push(worker);
    return worker;
  }

  prompt(content: string, more: Partial<Prompt> = {}): ReturnType<Runs['send']> {
    return this.runs.send(this.alice, this.ref, {
      content,
      agent: 'default',
      model: '',
      priority: 'normal',
      onBusy: 'queue',
      ...more,
    });
  }

  view(after?: Position, more: Partial<SubscriptionOptions> = {}): Viewer {
    const sink = new TestSink();
    const abort = new AbortController();
    const subscription = new Subscription({
      broker: this.broker,
      hub: this.hub,
      gate: new CatchUpGate(),
      user: 'alice',
      info: undefined,
      topic: chatTopic(this.ref),
      after,
      encoder: testEncoder,
      sink,
      signal: abort.signal,
      onReset: 'restart',
      observer: { onReset: () => undefined, onDelivered: () => undefined, onFellBehind: () => this.fellBehind.push(1) },
      ...more,
    });
    const running = subscription.run();
    const leave = async (): Promise<void> => {
      abort.abort();
      await running;
    };
    const viewer = { sink, subscription, running, leave };
    this.#viewers.push(viewer);
    return viewer;
  }

  /** The log now, read from its start, or behind `after`, by a fresh reader. */
  async seen(after?: Position): Promise<readonly SeenEvent[]> {
    const viewer = this.view(after);
    await eventually(() => viewer.sink.controls.some((control) => control.type === 'live'));
    await viewer.leave();
    return viewer.sink.events;
  }

  async close(): Promise<void> {
    await Promise.all(this.#viewers.map((viewer) => viewer.leave()));
    await Promise.all(this.#workers.map((worker) => worker.close()));
    this.hub.close();
    await this.broker.close();
    if (this.errors.length > 0) throw new Error('the hub met errors', { cause: this.errors });
  }
}

/** Joins deltas as PROTOCOL §4 says, and checks that each begins where the one before it ended. */
export function joinAnswer(events: readonly SeenEvent[], runId: string): string {
  const parts: string[] = [];
  for (const { type, data } of events) {
    if (data['runId'] !== runId) continue;
    const part = data['part'] as number;
    const at = data['at'] as number;
    if (type === 'run.restarted') {
      parts.length = Math.min(parts.length, part + 1);
      if (parts[part] !== undefined) parts[part] = parts[part].slice(0, at);
    }
    if (type !== 'delta') continue;
    const known = parts[part] ?? '';
    if (known.length !== at) throw new Error(`a delta at ${at} does not join ${known.length} characters`);
    parts[part] = known + (data['text'] as string);
  }
  return parts.join('\n');
}
