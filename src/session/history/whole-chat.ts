// Reads of a chat for protocols whose object is the chat and not a run: the settings of its first run, which hold for
// the chat, and where a reader of all its runs has to begin.
import type { Broker } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Position } from '../../broker/position.ts';
import { readStateBefore } from '../commands/earlier-state.ts';
import { decodeHidden, isUnreadable, readableEvent } from '../events/chat-event.ts';
import { decodeOptions, type RunOptions } from '../events/run-options.ts';
import { majorBatches, type LogPrefix } from './major-records.ts';

export interface RunSettings {
  readonly agent: string;
  readonly model: string;
  readonly options?: RunOptions;
}

/** Undefined in a chat without a run. Before the first run there are at most a given history and the creation.
 *  @throws BrokerError epoch-changed */
export async function readFirstRun(broker: Broker, log: LogPrefix): Promise<RunSettings | undefined> {
  for await (const batch of majorBatches(broker, log, 0, 'forward')) {
    for (const item of batch.items) {
      const event = readableEvent(item);
      if (item.kind !== 'record' || event?.type !== 'run.queued') continue;
      const options = isUnreadable(item) ? undefined : decodeOptions(decodeHidden(item.data));
      return { agent: event.agent, model: event.model, ...(options === undefined ? {} : { options }) };
    }
  }
  return undefined;
}

/** The first offset of the runs that had not ended before a position. @throws BrokerError epoch-changed */
export async function startOfOpenRuns(broker: Broker, topic: LiteTopicName, at: Position): Promise<number> {
  if (at.offset === 0) return 0;
  const state = await readStateBefore(broker, { topic, epoch: at.epoch, at: at.offset - 1 });
  if (state === 'epoch-changed') throw new BrokerError('epoch-changed', 'the position is of another epoch');
  return state?.runs.reduce((first, { queuedAt }) => Math.min(first, queuedAt), at.offset) ?? 0;
}
