// Reads the options of a run from its `run.queued`: the command state says only whether there are any.
import type { Broker } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { RunInfo } from '../../session/commands/command-state.ts';
import { decodeHidden } from '../../session/events/chat-event.ts';
import { decodeOptions, type RunOptions } from '../../session/events/run-options.ts';

/** @throws BrokerError epoch-changed; corrupt: the record is lost */
export async function readOptions(
  broker: Broker,
  topic: LiteTopicName,
  epoch: string,
  { hasOptions, queuedAt }: RunInfo,
): Promise<RunOptions | undefined> {
  if (hasOptions !== true) return undefined;
  const result = await broker.read(topic, { epoch, offset: queuedAt }, { maxRecords: 1 });
  if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while its run was read');
  const [item] = result.items;
  if (item?.kind !== 'record') throw new BrokerError('corrupt', 'the options of a run are lost');
  return decodeOptions(decodeHidden(item.data));
}
