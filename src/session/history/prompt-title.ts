// What a chat without a title is called in lists: how the first message of its user begins, whatever client sent it.
import { shortTitle } from '../../base/short-title.ts';
import type { Broker } from '../../broker/broker.ts';
import { isDamage } from '../commands/earlier-state.ts';
import { decodeEvent, type MessageContent } from '../events/chat-event.ts';
import type { LogPrefix } from './major-records.ts';

/** Records at the beginning of a chat that are looked at. What the chat is, uploads and a system message come before
 *  the first message of a user. */
const RECORDS_LOOKED_AT = 100;
/** Mostly the first ones have it. */
const RECORDS_AT_ONCE = 4;
/** Of all records that are looked at. A record that exceeds it names no chat: a list has many chats, and must not
 *  decode megabytes. */
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

/** Undefined where that message has no text, is too far back or too long, or is not kept any more. */
async function readPromptTitle(
  broker: Broker,
  { topic, epoch }: Pick<LogPrefix, 'topic' | 'epoch'>,
): Promise<string | undefined> {
  try {
    let maxBytes = BYTES_MAX;
    for (let offset = 0; offset < RECORDS_LOOKED_AT;) {
      const batch = await broker.read(topic, { epoch, offset }, { maxRecords: RECORDS_AT_ONCE, maxBytes });
      if (batch.kind !== 'batch') return undefined;
      for (const item of batch.items) {
        if (item.kind !== 'record' || item.data.length > maxBytes) return undefined;
        maxBytes -= item.data.length;
        const event = decodeEvent(item.data);
        if ((event?.type === 'message.created' || event?.type === 'history.given') && event.role === 'user')
          return shortTitle(textOf(event.content));
      }
      if (batch.end || maxBytes === 0) return undefined;
      offset = batch.next;
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
