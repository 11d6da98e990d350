// A tail made of a generator, for brokers that a test wraps. The tails of an engine are `TailReader`s.
import type { ReadResult, Tail, TailListener } from '../../src/broker/broker.ts';

export class IteratedTail implements Tail {
  readonly #results: AsyncIterable<ReadResult>;

  constructor(results: AsyncIterable<ReadResult>) {
    this.#results = results;
  }

  [Symbol.asyncIterator](): AsyncIterator<ReadResult> {
    return this.#results[Symbol.asyncIterator]();
  }

  follow(listener: TailListener): void {
    void this.#iterate(listener);
  }

  async #iterate(listener: TailListener): Promise<void> {
    try {
      for await (const result of this.#results) listener.onResult(result);
    } catch (error) {
      listener.onError(error);
      return;
    }
    listener.onEnd();
  }
}
