// The record of a leased topic, for a lease whose answer had none: its offset belongs to a hole, or the record is
// large.
import type { Broker, LogRecord } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { Taken } from './group-queue.ts';
import type { PartitionQueue } from './partition-queue.ts';
import { RETRY_MS } from './partition-queue.ts';

export interface Found {
  readonly record: LogRecord;
  readonly attempt: number;
}

/** Skips holes. If no record follows a hole, the hole is marked as consumed, because no consumer could acknowledge it.
 *  Undefined: the topic is no longer held in Redis. @throws BrokerError of the read; the topic is still held then */
export async function readLeased(
  broker: Pick<Broker, 'read'>,
  partition: PartitionQueue,
  taken: Taken,
): Promise<Found | undefined> {
  const { topic, epoch } = taken;
  let { offset } = taken;
  let record: LogRecord | undefined;
  for (let isEnd = false; !isEnd && record === undefined;) {
    const result = await broker.read(topic, { epoch, offset }, { maxRecords: 1 });
    if (result.kind === 'reset' && result.reason === 'undeclared-hole') throw missing(offset);
    if (result.kind !== 'batch') {
      // The topic's history changed during the lease. If it still exists, it is delivered later, in its new epoch.
      await partition.giveBack([taken], { delayMs: RETRY_MS, count: false });
      return undefined;
    }
    const [item] = result.items;
    if (item?.kind === 'record') record = item;
    else offset = result.next;
    isEnd = item === undefined;
  }
  if (offset === taken.offset) {
    if (record === undefined) throw missing(offset);
    return { record, attempt: taken.attempt };
  }
  const outcome = await partition.ack(taken, offset, true);
  return outcome === 'kept' && record !== undefined ? { record, attempt: 1 } : undefined;
}

function missing(offset: number): BrokerError {
  return new BrokerError('corrupt', `the record at ${offset} is neither there nor declared a hole`);
}
