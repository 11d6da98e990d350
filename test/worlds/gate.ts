// The connection between a process and the broker, which can stall and break. While it is frozen, calls wait before
// they reach the broker and answers wait before they reach the process, as if the process were stopped; after the thaw
// the process continues with its old state, which makes zombies. When it is dead, no call is answered. Some fenced
// appends are sent twice, as by a client that lost the answer, and the process gets the second answer.
import { setMaxListeners } from 'node:events';
import type { BlobStore } from '../../src/broker/blobs.ts';
import type {
  Appended,
  BrokerEngine,
  ConsumeOptions,
  Delivery,
  DescribeOptions,
  LogRecord,
  Priority,
  ReadFrom,
  ReadOptions,
  ReadResult,
  Tail,
  TailOptions,
  TopicInfo,
  TopicPage,
  TopicWrite,
} from '../../src/broker/broker.ts';
import type { BrokerHealth } from '../../src/broker/health.ts';
import { isBrokerError } from '../../src/broker/errors.ts';
import type { LiteTopicName, TopicPattern } from '../../src/broker/lite-topic.ts';
import type { Position } from '../../src/broker/position.ts';
import type { StopSignal } from '../../src/base/stop-signal.ts';
import { IteratedTail } from '../support/iterated-tail.ts';
import type { Random } from './random.ts';
import type { QueuePlace } from '../../src/broker/flow-policy.ts';

export class Gate implements BrokerEngine {
  readonly #broker: BrokerEngine;
  readonly #random: Random;
  /** The share of fenced appends that are sent twice. */
  readonly #resends: number;
  readonly #dead = new AbortController();
  #state: 'open' | 'frozen' | 'dead' = 'open';
  #thawed: (() => void)[] = [];

  constructor(broker: BrokerEngine, random: Random, resends: number) {
    this.#broker = broker;
    this.#random = random;
    this.#resends = resends;
    // Each tail and each consumer adds a listener.
    setMaxListeners(0, this.#dead.signal);
  }

  get state(): 'open' | 'frozen' | 'dead' {
    return this.#state;
  }

  freeze(): void {
    if (this.#state === 'open') this.#state = 'frozen';
  }

  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'open';
    for (const goOn of this.#thawed.splice(0)) goOn();
  }

  kill(): void {
    this.#state = 'dead';
    this.#thawed = [];
    this.#dead.abort();
  }

  /** Resolves once the process runs; never for a dead process. */
  async pass(): Promise<void> {
    while (this.#state !== 'open') await new Promise<void>((resolve) => this.#thawed.push(resolve));
  }

  append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    const isFenced = writes.some((write) => write.fence !== undefined);
    return this.#ask(() =>
      isFenced && this.#random.chance(this.#resends) ? this.#appendTwice(writes) : this.#broker.append(writes),
    );
  }

  read(topic: LiteTopicName, from: ReadFrom, options?: ReadOptions): Promise<ReadResult> {
    return this.#ask(() => this.#broker.read(topic, from, options));
  }

  tail(topic: LiteTopicName, from: Position, options: TailOptions): Tail {
    return new IteratedTail(this.#tail(topic, from, options));
  }

  async *#tail(
    topic: LiteTopicName,
    from: Position,
    options: TailOptions,
  ): AsyncGenerator<ReadResult, void, undefined> {
    const detach = new Detach([options.signal, this.#dead.signal]);
    try {
      for await (const result of this.#broker.tail(topic, from, { ...options, signal: detach.signal })) {
        await this.pass();
        yield result;
      }
      await this.pass();
    } finally {
      detach.end();
    }
  }

  describe(topics: readonly LiteTopicName[], options?: DescribeOptions): Promise<readonly (TopicInfo | undefined)[]> {
    return this.#ask(() => this.#broker.describe(topics, options));
  }

  remove(...args: Parameters<BrokerEngine['remove']>): Promise<boolean> {
    return this.#ask(() => this.#broker.remove(...args));
  }

  list(pattern: TopicPattern, page: { readonly after?: LiteTopicName; readonly limit: number }): Promise<TopicPage> {
    return this.#ask(() => this.#broker.list(pattern, page));
  }

  countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>> {
    return this.#ask(() => this.#broker.countBefore(group, topics));
  }

  countWaiting(...args: Parameters<BrokerEngine['countWaiting']>): ReturnType<BrokerEngine['countWaiting']> {
    return this.#ask(() => this.#broker.countWaiting(...args));
  }

  setPaused(...args: Parameters<BrokerEngine['setPaused']>): ReturnType<BrokerEngine['setPaused']> {
    return this.#ask(() => this.#broker.setPaused(...args));
  }

  async *consume(
    group: string,
    pattern: TopicPattern,
    options: ConsumeOptions,
  ): AsyncGenerator<Delivery, void, undefined> {
    const detach = new Detach([options.signal, this.#dead.signal]);
    try {
      for await (const delivery of this.#broker.consume(group, pattern, { ...options, signal: detach.signal })) {
        await this.pass();
        yield new GatedDelivery(delivery, this);
      }
      await this.pass();
    } finally {
      detach.end();
    }
  }

  get blobs(): BlobStore {
    return this.#broker.blobs;
  }

  health(): BrokerHealth {
    return this.#broker.health();
  }

  /** Closes nothing: the broker does not belong to this process. */
  async close(): Promise<void> {
    await this.pass();
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    await this.pass();
    try {
      return await question();
    } finally {
      await this.pass();
    }
  }

  /** Appends twice, as if the first answer had been lost. */
  async #appendTwice(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    const first = await this.#broker.append(writes);
    try {
      return await this.#broker.append(writes);
    } catch (error) {
      // Between the two appends another worker took the fence, or the log stopped. Then the first answer is the right
      // one.
      if (
        isBrokerError(error, 'fenced') ||
        isBrokerError(error, 'epoch-changed') ||
        isBrokerError(error, 'failed') ||
        isBrokerError(error, 'closed')
      )
        return first;
      throw error;
    }
  }
}

/** Aborts when any of its signals aborts, and removes its listeners at the end. With it a dead process holds nothing:
 *  the engine sees its tails and consumers end. */
class Detach {
  readonly #abort = new AbortController();
  readonly #sources: readonly StopSignal[];
  readonly #onAbort = (): void => this.end();

  constructor(sources: readonly StopSignal[]) {
    this.#sources = sources;
    for (const source of sources) source.addEventListener('abort', this.#onAbort, { once: true });
    if (sources.some((source) => source.aborted)) this.end();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  end(): void {
    for (const source of this.#sources) source.removeEventListener('abort', this.#onAbort);
    this.#abort.abort();
  }
}

/** A delivery of a process that may be frozen: the loss of its lease reaches the process when it runs again. */
class GatedDelivery implements Delivery {
  readonly #inner: Delivery;
  readonly #gate: Gate;
  readonly #lost = new AbortController();

  constructor(inner: Delivery, gate: Gate) {
    this.#inner = inner;
    this.#gate = gate;
    inner.lost.addEventListener('abort', () => void gate.pass().then(() => this.#lost.abort()), { once: true });
    if (inner.lost.aborted) this.#lost.abort();
  }

  get topic(): LiteTopicName {
    return this.#inner.topic;
  }

  get epoch(): string {
    return this.#inner.epoch;
  }

  get record(): LogRecord {
    return this.#inner.record;
  }

  get priority(): Priority {
    return this.#inner.priority;
  }

  get attempt(): number {
    return this.#inner.attempt;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async ack(): Promise<boolean> {
    await this.#gate.pass();
    return this.#inner.ack();
  }

  charge(tokens: number): void {
    this.#inner.charge(tokens);
  }

  async nack(...args: Parameters<Delivery['nack']>): Promise<boolean> {
    await this.#gate.pass();
    return this.#inner.nack(...args);
  }

  async reject(reason: string): Promise<boolean> {
    await this.#gate.pass();
    return this.#inner.reject(reason);
  }

  async extend(): Promise<boolean> {
    await this.#gate.pass();
    return this.#inner.extend();
  }
}
