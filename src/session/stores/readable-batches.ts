// Reads a whole log of which single records may be damaged or lost: these records are left out. For logs of names that
// the reader verifies, such as a user's list of chats. A chat's own log must not be read like this.
import { READ_RECORDS, type Broker, type LogBatch, type ReadResult } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Position } from '../../broker/position.ts';

export type Direction = 'forward' | 'backward';

/** All readable records, in that direction. `onDamaged` is called for each record that is left out. */
export async function* readableBatches(
  broker: Broker,
  topic: LiteTopicName,
  direction: Direction,
  onDamaged: () => void = () => undefined,
): AsyncGenerator<LogBatch> {
  let from: Position | 'earliest' | 'end' = direction === 'forward' ? 'earliest' : 'end';
  // A read that meets a damaged record fails as a whole: it is repeated with half as many, until that record is alone.
  let maxRecords = READ_RECORDS;
  for (;;) {
    const result: ReadResult | undefined = await readUnlessDamaged(broker, topic, from, { direction, maxRecords });
    if (result?.kind === 'batch') {
      if (result.items.some(({ kind }) => kind === 'lost')) onDamaged();
      yield result;
      if (result.end) return;
      from = { epoch: result.epoch, offset: result.next };
      maxRecords = READ_RECORDS;
    } else if (result?.kind === 'reset' && result.reason === 'damaged' && typeof from === 'object') {
      // The offsets before are as they were read.
      from = { epoch: result.epoch, offset: from.offset };
    } else if (result !== undefined) {
      return;
    } else if (maxRecords > 1) {
      maxRecords = Math.floor(maxRecords / 2);
    } else {
      onDamaged();
      const damaged: Position | undefined = typeof from === 'string' ? await edgeOf(broker, topic, direction) : from;
      if (damaged === undefined || (direction === 'backward' && damaged.offset === 0)) return;
      from = { epoch: damaged.epoch, offset: damaged.offset + (direction === 'forward' ? 1 : -1) };
      maxRecords = READ_RECORDS;
    }
  }
}

/** The value of a record's JSON, or undefined if the text is not JSON. */
export function parseUnlessDamaged(data: string): unknown {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return undefined;
  }
}

async function readUnlessDamaged(
  broker: Broker,
  topic: LiteTopicName,
  from: Position | 'earliest' | 'end',
  options: { readonly direction: Direction; readonly maxRecords: number },
): Promise<ReadResult | undefined> {
  try {
    return await broker.read(topic, from, options);
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return undefined;
    throw error;
  }
}

/** The first record in that direction. */
async function edgeOf(broker: Broker, topic: LiteTopicName, direction: Direction): Promise<Position | undefined> {
  const [info] = await broker.describe([topic]);
  if (info === undefined) return undefined;
  return { epoch: info.epoch, offset: direction === 'forward' ? info.earliest : info.next - 1 };
}
