// A tail that calls back. For who follows thousands of them and never has to wait: no promise for each batch.
import type { ReadResult } from '../broker.ts';
import { TailReader, type TailListener } from './tail-reader.ts';

/** Whatever the engine: its tails are readers mostly, which are followed in the very turn in which something becomes visible. */
export function followTail(tail: AsyncIterable<ReadResult>, listener: TailListener): void {
  if (tail instanceof TailReader) tail.follow(listener);
  else void iterate(tail, listener);
}

async function iterate(tail: AsyncIterable<ReadResult>, listener: TailListener): Promise<void> {
  try {
    for await (const result of tail) listener.onResult(result);
  } catch (error) {
    listener.onError(error);
    return;
  }
  listener.onEnd();
}
