// Reads the major records of a chat, many at a time. The engine skips deltas without reading them.
import type { Broker, LogBatch } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import { pacedRead } from '../events/paced-read.ts';

/** The most major records of one read. */
export const MAJORS_AT_ONCE = 256;

export interface LogPrefix {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** Only records below this offset are read. */
  readonly next: number;
}

/** Records from `from` up to, not including, `to`. */
export interface LogRange {
  readonly from: number;
  readonly to: number;
}

export type Direction = 'forward' | 'backward';

/** The first of `majorBatches`. @throws BrokerError epoch-changed */
export async function readMajors(
  broker: Broker,
  { topic, epoch }: LogPrefix,
  offset: number,
  direction: Direction,
  maxRecords = MAJORS_AT_ONCE,
): Promise<LogBatch> {
  const result = await pacedRead(broker, topic, { epoch, offset }, { direction, majorOnly: true, maxRecords });
  if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while it was read');
  return result;
}

/** From `start` to the end of the prefix, or to offset 0. @throws BrokerError epoch-changed */
export async function* majorBatches(
  broker: Broker,
  range: LogPrefix,
  start: number,
  direction: Direction,
): AsyncGenerator<LogBatch> {
  for (let offset = start; offset >= 0 && offset < range.next;) {
    const batch = await readMajors(broker, range, offset, direction);
    yield batch;
    if (batch.end) return;
    offset = batch.next;
  }
}
