// Reads of a long chat that leave room for the rest of the node. The embedded engine answers most reads from memory, in
// the same turn of the event loop: a loop over a chat of many megabytes would hold every other connection until its end.
import { setImmediate } from 'node:timers/promises';
import type { Broker, LogBatch, ReadFrom, ReadOptions, ReadResult } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';

/** UTF-16 code units of a batch that is worth a turn of the event loop: parsing this much takes about a millisecond. */
const PACED_CHARS = 64 * 1024;

/** Reads as the broker does, and after a large batch lets the event loop go round once.
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
