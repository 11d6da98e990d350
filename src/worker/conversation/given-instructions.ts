// The system messages at the beginning of a given history, for a conversation that is too long to be read up to them:
// a model receives them as long as the chat exists. [PROTOCOL §4]
import type { Broker, LogItem } from '../../broker/broker.ts';
import { readableEvent, type HistoryGiven } from '../../session/events/chat-event.ts';
import type { LogPrefix } from '../../session/history/major-records.ts';
import type { ChatMessage } from './valid-conversation.ts';

/** The first records of a chat, in which its given history begins: few, so that other chats pay little. */
const FIRST_READ = { majorOnly: true, maxRecords: 16, maxBytes: 64 * 1024 } as const;

/** In their order. Empty for most chats. @throws BrokerError corrupt */
export async function readGivenInstructions(
  broker: Broker,
  { topic, epoch, next }: LogPrefix,
): Promise<readonly ChatMessage[]> {
  const found: ChatMessage[] = [];
  for (let offset = 0; offset < next;) {
    const result = await broker.read(topic, { epoch, offset }, FIRST_READ);
    // A chat that has changed its epoch refuses the answer anyway.
    if (result.kind !== 'batch') break;
    const given = result.items.map(givenOf).filter((one) => one !== undefined);
    const end = given.findIndex(({ role, content }) => role !== 'system' || typeof content !== 'string');
    for (const { content } of end < 0 ? given : given.slice(0, end))
      found.push({ role: 'system', content, status: 'given' });
    if (end >= 0 || given.length === 0 || result.end) break;
    offset = result.next;
  }
  return found;
}

function givenOf(item: LogItem): HistoryGiven | undefined {
  const event = readableEvent(item);
  return event?.type === 'history.given' ? event : undefined;
}
