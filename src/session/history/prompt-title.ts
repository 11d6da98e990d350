// What a chat without a title is called in lists: how its first prompt begins, whatever client sent it.
import { shortTitle } from '../../base/short-title.ts';
import type { Broker } from '../../broker/broker.ts';
import { isDamage } from '../commands/earlier-state.ts';
import { decodeEvent, type MessageContent } from '../events/chat-event.ts';
import type { LogPrefix } from './major-records.ts';

/** Records at the beginning of a chat that are looked at: a `session.created` may come before the prompt. */
const RECORDS_LOOKED_AT = 3;
/** The read ends behind the record that exceeds this, and a longer record names no chat: a list has many chats, and
 *  must not decode megabytes. */
const BYTES_MAX = 64 * 1024;

/** The details with a title. One that is made of the prompt is stored nowhere. */
export async function titledByPrompt<T extends { readonly title?: string }>(
  broker: Broker,
  chat: Pick<LogPrefix, 'topic' | 'epoch'>,
  details: T,
): Promise<T> {
  const title = details.title === undefined ? await readPromptTitle(broker, chat) : undefined;
  return title === undefined ? details : { ...details, title };
}

/** Undefined where the first prompt has no text, is too long, or is not kept any more. */
async function readPromptTitle(
  broker: Broker,
  { topic, epoch }: Pick<LogPrefix, 'topic' | 'epoch'>,
): Promise<string | undefined> {
  try {
    const limits = { maxRecords: RECORDS_LOOKED_AT, maxBytes: BYTES_MAX };
    const result = await broker.read(topic, { epoch, offset: 0 }, limits);
    if (result.kind !== 'batch') return undefined;
    for (const item of result.items) {
      if (item.kind !== 'record' || item.data.length > BYTES_MAX) return undefined;
      const event = decodeEvent(item.data);
      if (event?.type === 'message.created' || event?.type === 'history.given')
        return event.role === 'user' ? shortTitle(textOf(event.content)) : undefined;
    }
    return undefined;
  } catch (error) {
    // A damaged beginning costs the chat its name, not its place in the list.
    if (isDamage(error)) return undefined;
    throw error;
  }
}

function textOf(content: MessageContent): string {
  if (typeof content === 'string') return content;
  return content.map(({ type, text }) => (type === 'text' && typeof text === 'string' ? text : '')).join('\n');
}
