// One delivery that a consumer holds. The lease says what was delivered; the group decides whether it still holds, and
// only the group ends it.
import type { Delivery, LogRecord, NackOptions, Priority } from '../broker.ts';
import type { LiteTopicName } from '../lite-topic.ts';

export interface LeaseOwner {
  ack(lease: Lease): Promise<boolean>;
  nack(lease: Lease, delayMs: number, options?: NackOptions): boolean | Promise<boolean>;
  reject(lease: Lease, reason: string): Promise<boolean>;
  extend(lease: Lease): boolean | Promise<boolean>;
  charge(lease: Lease, tokens: number): void;
}

export interface Delivered {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly record: LogRecord;
  readonly priority: Priority;
  readonly attempt: number;
}

export class Lease implements Delivery {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly record: LogRecord;
  readonly priority: Priority;
  readonly attempt: number;
  readonly #owner: LeaseOwner;
  readonly #lost = new AbortController();

  constructor(owner: LeaseOwner, delivered: Delivered) {
    this.#owner = owner;
    this.topic = delivered.topic;
    this.epoch = delivered.epoch;
    this.record = delivered.record;
    this.priority = delivered.priority;
    this.attempt = delivered.attempt;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  ack(): Promise<boolean> {
    return this.#owner.ack(this);
  }

  async nack(delayMs: number, options?: NackOptions): Promise<boolean> {
    return this.#owner.nack(this, delayMs, options);
  }

  reject(reason: string): Promise<boolean> {
    return this.#owner.reject(this, reason);
  }

  async extend(): Promise<boolean> {
    return this.#owner.extend(this);
  }

  charge(tokens: number): void {
    this.#owner.charge(this, tokens);
  }

  /** Only the owner may call it. */
  lose(): void {
    this.#lost.abort();
  }
}
