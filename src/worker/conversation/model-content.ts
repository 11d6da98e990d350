// The content of a message for a model, as strict servers take it: no half of a character, nothing blank. Pure.
import { contentChars } from '../../session/agent-limits.ts';
import type { MessageContent } from '../../session/events/chat-event.ts';
import type { ContentPart, ModelMessage } from '../provider.ts';

/** The text with U+FFFD for every unpaired surrogate, as the log stores answers: a body with an unpaired surrogate
 *  is not valid UTF-8. */
export function wholeText(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}

/** The gateway has validated content parts. They are sent unchanged, except for unpaired surrogates. */
export function wholeContent(content: MessageContent): ModelMessage['content'] {
  return (typeof content === 'string' ? wholeText(content) : wholeJson(content)) as ModelMessage['content'];
}

/** Servers that refuse a blank message refuse a blank part too. */
export function withoutBlankParts(content: ModelMessage['content']): ModelMessage['content'] {
  if (typeof content === 'string') return content;
  const parts = content.filter((part) => !isBlankPart(part));
  return parts.length === 0 ? content : parts;
}

export function isBlank(content: ModelMessage['content']): boolean {
  return typeof content === 'string' ? content.trim() === '' : content.every(isBlankPart);
}

/** UTF-16 code units that messages count for in a budget. */
export function charsOf(messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, { content, toolCalls = [] }) => {
    const called = toolCalls.reduce((chars, call) => chars + call.toolName.length + call.arguments.length, 0);
    return sum + contentChars(content) + called;
  }, 0);
}

function wholeJson(value: unknown): unknown {
  if (typeof value === 'string') return wholeText(value);
  if (Array.isArray(value)) return value.map(wholeJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [wholeText(name), wholeJson(field)]));
}

function isBlankPart(part: ContentPart): boolean {
  return part.type === 'text' && (typeof part.text !== 'string' || part.text.trim() === '');
}
