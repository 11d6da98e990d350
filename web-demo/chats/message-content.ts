// The content of a shown prompt, to send it once more: its text, and its other parts as they were sent.
import type { ContentPart, Message, MessageContent } from '../../src/client/chat-client.ts';
import { plainText } from '../conversation/message-status.ts';

/** Its texts. Another chat cannot have its files. */
export function textOf(content: MessageContent): string {
  if (typeof content === 'string') return content;
  return content.map(({ type, text }) => (type === 'text' && typeof text === 'string' ? text : '')).join('');
}

export function contentOf(message: Message): MessageContent {
  const text = plainText(message);
  const files = message.parts.flatMap((part) => (part.kind === 'attachment' ? [part.content as ContentPart] : []));
  if (files.length === 0) return text;
  return text === '' ? files : [{ type: 'text', text }, ...files];
}
