// A conversation that was held elsewhere and comes with the first prompt of a chat: its bounds, its rules, and its
// events. How a model receives it is in the worker. [PROTOCOL §3, §4]
import { ATTACHMENT } from './attachment-part.ts';
import type { HistoryGiven } from './chat-event.ts';

/** Messages of one history. With the prompt they fit into one append. */
export const HISTORY_MESSAGES_MAX = 1000;
/** UTF-8 bytes of one history as JSON, and of one of its messages: a history is part of one append, and a message is
 *  one record. */
export const HISTORY_BYTES_MAX = 8 * 1024 * 1024;
export const GIVEN_MESSAGE_BYTES_MAX = 960 * 1024;

export type GivenMessage = Omit<HistoryGiven, 'type' | 'index' | 'createdAt' | 'messageId'> & {
  /** Undefined: `history:` and the index. */
  readonly messageId?: string;
};

/** Why the message cannot be given; undefined if it can. */
export function findGivenFault({ role, content, toolCalls, toolCallId }: GivenMessage): string | undefined {
  if (toolCalls !== undefined && role !== 'assistant') return 'only the role assistant has toolCalls';
  if ((toolCallId === undefined) === (role === 'tool')) return 'the role tool has a toolCallId, and no other role';
  if (typeof content !== 'string' && content.some(({ type }) => type === ATTACHMENT))
    return 'an attachment belongs to a session, so a history cannot name one';
  return undefined;
}

export function givenEvents(history: readonly GivenMessage[], createdAt: string): HistoryGiven[] {
  return history.map(({ messageId, role, content, toolCalls, toolCallId }, index) => ({
    type: 'history.given',
    messageId: messageId ?? `history:${index}`,
    index,
    role,
    content,
    ...(toolCalls === undefined ? {} : { toolCalls }),
    ...(toolCallId === undefined ? {} : { toolCallId }),
    createdAt,
  }));
}
