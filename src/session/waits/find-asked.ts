// Finds an input in the log: the request of an input that the command state names, or an input of a run that has ended.
import type { Broker } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LoadedState } from '../commands/command-log.ts';
import type { RunInput } from '../commands/run-inputs.ts';
import { decodeEvent, readableEvent } from '../events/chat-event.ts';
import type { InputAnswered, InputClosed, InputRequested } from '../events/wait-events.ts';
import { majorBatches } from '../history/major-records.ts';
import type { SessionRef } from '../session-ref.ts';
import { chatTopic } from '../topic-names.ts';
import { replyHash } from './input-reply.ts';

/** Major records that a search for an input of an ended run reads. An older one is not found. */
export const SEARCH_MAJORS_MAX = 4096;

/** @throws BrokerError epoch-changed, corrupt: the request is lost */
export async function readAsked(
  broker: Broker,
  ref: SessionRef,
  epoch: string,
  { at, inputId }: RunInput,
): Promise<InputRequested> {
  const result = await broker.read(chatTopic(ref), { epoch, offset: at }, { maxRecords: 1 });
  if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while an input was read');
  const [item] = result.items;
  const event = item?.kind === 'record' ? decodeEvent(item.data) : undefined;
  if (event?.type !== 'input.requested' || event.inputId !== inputId)
    throw new BrokerError('corrupt', `no input was asked for at ${at} of ${chatTopic(ref)}`);
  return event;
}

export interface EndedInput extends Pick<RunInput, 'answered'> {
  readonly runId: string;
}

/** Reads the chat backward, once for all of these inputs. One that no run asked for, or too long ago, is left out.
 *  @throws BrokerError epoch-changed */
export async function findEndedInputs(
  broker: Broker,
  ref: SessionRef,
  { epoch, at }: LoadedState,
  inputIds: ReadonlySet<string>,
): Promise<ReadonlyMap<string, EndedInput>> {
  const found = new Map<string, EndedInput>();
  if (inputIds.size === 0) return found;
  let read = 0;
  const log = { topic: chatTopic(ref), epoch, next: at + 1 };
  for await (const batch of majorBatches(broker, log, at, 'backward')) {
    for (const item of batch.items) {
      const event = readableEvent(item);
      if (event === undefined || !('inputId' in event) || !inputIds.has(event.inputId)) continue;
      // The newest event of an input is its end.
      if (!found.has(event.inputId)) found.set(event.inputId, endedBy(event));
    }
    read += batch.items.length;
    if (found.size === inputIds.size || read >= SEARCH_MAJORS_MAX) break;
  }
  return found;
}

function endedBy(event: InputRequested | InputAnswered | InputClosed): EndedInput {
  const { runId } = event;
  if (event.type !== 'input.answered') return { runId };
  const { by, createdAt } = event;
  return { runId, answered: { by, createdAt, hash: replyHash(event) } };
}
