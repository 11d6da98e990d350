// What the strictest servers refuse in a conversation: the combined rules of many chat templates and request
// validators.
import type { ModelMessage } from '../../src/worker/provider.ts';

/** The rules that these messages break, in words. */
export function brokenRules(messages: readonly ModelMessage[]): string[] {
  const spoken = messages.filter(({ role }, i) => role !== 'system' || i > 0);
  const broken = brokenCalls(spoken);
  const isCall = ({ role, toolCalls }: ModelMessage): boolean => role === 'tool' || toolCalls !== undefined;
  const told = spoken.filter((one) => !isCall(one));
  if (told.some(({ role }, i) => role !== (i % 2 === 0 ? 'user' : 'assistant')))
    broken.push('roles alternate, from a user on');
  const last = spoken.at(-1)?.role;
  if (last !== 'user' && last !== 'tool') broken.push('a user or a tool has the last word');
  if (messages.some((one) => isBlank(one.content) && one.toolCalls === undefined)) broken.push('no message is blank');
  if (!messages.every(({ content }) => isWhole(content))) broken.push('characters are whole');
  return broken;
}

/** Calls are behind a user, each has one result directly behind, and the model continues behind the results. */
function brokenCalls(messages: readonly ModelMessage[]): string[] {
  const broken: string[] = [];
  messages.forEach(({ role, toolCalls = [] }, i) => {
    const before = messages[i - 1]?.role;
    if (role === 'tool' && before !== 'tool' && before !== 'assistant') broken.push('results are behind calls');
    if (toolCalls.length === 0) return;
    const ids = toolCalls.map(({ toolCallId }) => toolCallId);
    const results = messages.slice(i + 1, i + 1 + ids.length).map(({ toolCallId }) => toolCallId);
    if (JSON.stringify(results) !== JSON.stringify(ids)) broken.push('each call has its result');
    if (new Set(ids).size < ids.length) broken.push('each call has an id of its own');
    if (before !== 'user' && before !== 'tool') broken.push('calls are behind a user');
    const next = messages[i + 1 + ids.length]?.role;
    if (next !== undefined && next !== 'assistant') broken.push('the model continues behind the results');
    for (const { arguments: text } of toolCalls)
      if (typeof JSON.parse(text) !== 'object') broken.push('arguments are an object');
  });
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
