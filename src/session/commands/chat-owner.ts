// Finds the owner of a chat whose newest state is damaged. The owner never changes, so the states in older records name
// it too.
import type { Broker, TopicInfo } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { decodeHidden } from '../events/chat-event.ts';
import { decodeCheckpoint } from './command-state.ts';

/** Offsets that are read from the end backward, and as many from the start forward. */
const OFFSETS = 64;

export async function readOwner(
  broker: Broker,
  { topic, epoch, next, lastMajor }: TopicInfo,
): Promise<string | undefined> {
  const newest = Array.from({ length: OFFSETS }, (_, i) => lastMajor - i);
  const oldest = Array.from({ length: OFFSETS }, (_, i) => i);
  for (const offset of [...newest, ...oldest]) {
    if (offset < 0 || offset >= next) continue;
    const owner = await ownerAt(broker, { topic, epoch }, offset);
    if (owner !== undefined) return owner;
  }
  return undefined;
}

async function ownerAt(
  broker: Broker,
  { topic, epoch }: Pick<TopicInfo, 'topic' | 'epoch'>,
  offset: number,
): Promise<string | undefined> {
  try {
    const result = await broker.read(topic, { epoch, offset }, { maxRecords: 1 });
    const item = result.kind === 'batch' ? result.items[0] : undefined;
    if (item?.kind !== 'record') return undefined;
    return decodeCheckpoint(decodeHidden(item.data), offset)?.state.owner;
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return undefined;
    throw error;
  }
}
