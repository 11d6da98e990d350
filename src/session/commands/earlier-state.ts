// Finds an earlier state of a chat whose newest state is damaged: its owner never changes, and most of its agents are
// known to it.
import type { Broker, TopicInfo } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { decodeHidden } from '../events/chat-event.ts';
import { decodeCheckpoint, type CommandState } from './command-state.ts';

/** Offsets that are read from the end backward, and as many from the start forward. */
const OFFSETS = 64;

/** Undefined if none of the records that it reads can be read. */
export async function readEarlierState(
  broker: Broker,
  { topic, epoch, next, lastMajor }: TopicInfo,
): Promise<CommandState | undefined> {
  const newest = Array.from({ length: OFFSETS }, (_, i) => lastMajor - i);
  const oldest = Array.from({ length: OFFSETS }, (_, i) => i);
  for (const offset of [...newest, ...oldest]) {
    if (offset < 0 || offset >= next) continue;
    const state = await stateAt(broker, { topic, epoch }, offset);
    if (state !== undefined) return state;
  }
  return undefined;
}

async function stateAt(
  broker: Broker,
  { topic, epoch }: Pick<TopicInfo, 'topic' | 'epoch'>,
  offset: number,
): Promise<CommandState | undefined> {
  try {
    const result = await broker.read(topic, { epoch, offset }, { maxRecords: 1 });
    const item = result.kind === 'batch' ? result.items[0] : undefined;
    if (item?.kind !== 'record') return undefined;
    return decodeCheckpoint(decodeHidden(item.data), offset)?.state;
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return undefined;
    throw error;
  }
}
