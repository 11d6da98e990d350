// A consumer in a test: requests deliveries one by one, or takes all that come.
import { onTestFinished } from 'vitest';
import type { BrokerEngine, ConsumeOptions, Delivery } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { nextOf } from './subject.ts';

export const REQUESTS = parseTopicPattern('request/*/*');
export const VISIBILITY_MS = 30_000;

type WorkerOptions = Partial<ConsumeOptions> & { readonly group?: string; readonly pattern?: typeof REQUESTS };

export class TestWorker {
  readonly #abort = new AbortController();
  readonly #deliveries: AsyncIterator<Delivery, unknown>;

  constructor(
    broker: BrokerEngine,
    { group = 'agents', pattern = REQUESTS, credit = 1, visibilityMs = VISIBILITY_MS, ...rest }: WorkerOptions = {},
  ) {
    this.#deliveries = broker
      .consume(group, pattern, { ...rest, credit, visibilityMs, signal: this.#abort.signal })
      [Symbol.asyncIterator]();
    onTestFinished(() => this.#abort.abort());
  }

  next(): Promise<Delivery> {
    return nextOf(this.#deliveries);
  }

  async take(count: number): Promise<Delivery[]> {
    const taken: Delivery[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  /** The next delivery, acknowledged. */
  async done(): Promise<string> {
    const delivery = await this.next();
    if (!(await delivery.ack())) throw new Error(`the lease on ${said(delivery)} was lost`);
    return said(delivery);
  }

  abort(): void {
    this.#abort.abort();
  }

  /** Resolves true when the iterable ends instead of delivering. */
  async ends(): Promise<boolean> {
    return (await this.#deliveries.next()).done === true;
  }
}

/** `request/x/one 3:data` */
export function said({ topic, record }: Delivery): string {
  return `${topic} ${record.offset}:${record.data}`;
}
