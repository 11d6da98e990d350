// Follows one run: yields its events in order from an offset of its chat, then live. In place of a hole it yields the
// deltas of the finished answer.
import type { Broker, LogItem } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import { decodeEvent, type ChatEvent } from '../events/chat-event.ts';
import { fillHole, readFinishedAnswer } from '../events/finished-answer.ts';

/** The position of a reader. It moves as the reader reads, so that the reader can continue after a failure. */
export interface ReadPosition {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  offset: number;
}

/** Ends quietly when the signal aborts. @throws BrokerError epoch-changed: the reader cannot continue from its
 *  position; corrupt: a part of the chat is lost */
export async function* followRun(
  broker: Broker,
  runId: string,
  position: ReadPosition,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent, void, undefined> {
  const { topic, epoch } = position;
  for await (const result of broker.tail(topic, { epoch, offset: position.offset }, { signal })) {
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while its run was followed');
    for (const item of result.items) {
      for (const event of await eventsOf(broker, position, item)) {
        if ('runId' in event && event.runId === runId) yield event;
      }
      position.offset = (item.kind === 'record' ? item.offset : item.to) + 1;
    }
  }
}

async function eventsOf(broker: Broker, { topic, epoch }: ReadPosition, item: LogItem): Promise<readonly ChatEvent[]> {
  if (item.kind === 'lost') throw lost(item);
  if (item.kind === 'hole') {
    const answer = await readFinishedAnswer(broker, topic, epoch, item.by);
    if (answer === undefined) throw lost(item);
    return fillHole(item, answer).map(({ delta }) => delta);
  }
  const event = decodeEvent(item.data);
  return event === undefined ? [] : [event];
}

/** A run cannot be followed across a gap: its text would not join. */
function lost({ from, to }: { readonly from: number; readonly to: number }): BrokerError {
  return new BrokerError('corrupt', `a part of the chat is lost: offsets ${from} to ${to}`);
}
