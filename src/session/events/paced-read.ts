// Reads a long chat without blocking the node. The embedded engine answers most reads from memory, in the same turn of
// the event loop, so a loop over a chat of many megabytes would block every other connection until its end.
import { setImmediate } from 'node:timers/promises';
import type { Broker, LogBatch, ReadFrom, ReadOptions, ReadResult } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';

/** UTF-16 code units of a batch after which a read yields to the event loop. Parsing this much takes about a
 *  millisecond. */
const PACED_CHARS = 64 * 1024;

/** Reads as the broker does, and yields to the event loop once after a large batch.
 *  @throws BrokerError corrupt, unavailable, failed, closed */
export async function pacedRead(
  broker: Broker,
  topic: LiteTopicName,
  from: ReadFrom,
  options?: ReadOptions,
): Promise<ReadResult> {
  const result = await broker.read(topic, from, options);
  if (result.kind === 'batch' && batchChars(result) >= PACED_CHARS) await setImmediate();
  return result;
}

/** UTF-16 code units of the records' data. */
export function batchChars({ items }: LogBatch): number {
  let chars = 0;
  for (const item of items) if (item.kind === 'record') chars += item.data.length;
  return chars;
}
