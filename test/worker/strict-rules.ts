// What the strictest servers refuse in a conversation: the combined rules of many chat templates and request
// validators.
import type { ModelMessage } from '../../src/worker/provider.ts';

/** The rules that these messages break, in words. */
export function brokenRules(messages: readonly ModelMessage[]): string[] {
  const told = messages.filter(({ role }, i) => role !== 'system' || i > 0);
  const broken: string[] = [];
  if (told.some(({ role }, i) => role !== (i % 2 === 0 ? 'user' : 'assistant')))
    broken.push('roles alternate, from a user on');
  if (told.at(-1)?.role !== 'user') broken.push('a user has the last word');
  if (messages.some(({ content }) => isBlank(content))) broken.push('no message is blank');
  if (!messages.every(({ content }) => isWhole(content))) broken.push('characters are whole');
  return broken;
}

export function isBlank(content: ModelMessage['content']): boolean {
  if (typeof content === 'string') return content.trim() === '';
  return content.length === 0 || content.some((part) => part.type === 'text' && String(part.text).trim() === '');
}

/** JSON writes half a character as an escape, and whole ones as they are. */
function isWhole(content: ModelMessage['content']): boolean {
  return !/(?<!\\)(?:\\\\)*\\ud[89a-f]/i.test(JSON.stringify(content));
}
