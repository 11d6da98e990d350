// A conversation that was held elsewhere and comes with the first prompt of a chat or before it: its bounds, its rules,
// and its events. How a model receives it is in the worker. [PROTOCOL §3, §4]
import { ATTACHMENT } from './attachment-part.ts';
import type { HistoryGiven } from './chat-event.ts';

/** Messages of one history. With the prompt they fit into one append. */
export const HISTORY_MESSAGES_MAX = 1000;
/** UTF-8 bytes of one history as JSON, and of one of its messages: a history is part of one append, and a message is
 *  one record. */
export const HISTORY_BYTES_MAX = 8 * 1024 * 1024;
export const GIVEN_MESSAGE_BYTES_MAX = 960 * 1024;

export type GivenMessage = Omit<HistoryGiven, 'type' | 'index' | 'createdAt' | 'messageId'> & {
  /** No other message, and not the prompt, may have the same one. Undefined: `history:` and the index. */
  readonly messageId?: string;
};

export function givenId({ messageId }: GivenMessage, index: number): string {
  return messageId ?? `history:${index}`;
}

/** Why the message cannot be given; undefined if it can. `ids`: of the prompt and of the messages before it; its own is
 *  added. Clients find a message by its id. */
export function findGivenFault(message: GivenMessage, index: number, ids: Set<string>): string | undefined {
  const { role, content, toolCalls, toolCallId } = message;
  const id = givenId(message, index);
  if (ids.has(id)) return 'another message has this messageId';
  ids.add(id);
  if (toolCalls !== undefined && role !== 'assistant') return 'only the role assistant has toolCalls';
  if ((toolCallId === undefined) === (role === 'tool')) return 'the role tool has a toolCallId, and no other role';
  if (typeof content !== 'string' && content.some(({ type }) => type === ATTACHMENT))
    return 'an attachment belongs to a session, so a history cannot name one';
  return undefined;
}

/** `first`: the number of messages that were given before. */
export function givenEvents(history: readonly GivenMessage[], createdAt: string, first = 0): HistoryGiven[] {
  return history.map((message, i) => {
    const { role, content, toolCalls, toolCallId } = message;
    const index = first + i;
    return {
      type: 'history.given',
      messageId: givenId(message, index),
      index,
      role,
      content,
      ...(toolCalls === undefined ? {} : { toolCalls }),
      ...(toolCallId === undefined ? {} : { toolCallId }),
      createdAt,
    };
  });
}
