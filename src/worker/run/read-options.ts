// Reads the options of a run from its `run.queued`: the command state says only whether there are any.
import type { Broker } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { RunInfo } from '../../session/commands/command-state.ts';
import { LOG_DAMAGED } from '../../session/commands/earlier-state.ts';
import { decodeHidden } from '../../session/events/chat-event.ts';
import { decodeOptions, type RunOptions } from '../../session/events/run-options.ts';
import { AgentError } from '../agent-error.ts';

/** @throws AgentError log-damaged: the record is lost; BrokerError epoch-changed */
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
  if (item?.kind !== 'record') {
    const { code, message, retryable } = LOG_DAMAGED;
    throw new AgentError(code, message, { retryable });
  }
  return decodeOptions(decodeHidden(item.data));
}
