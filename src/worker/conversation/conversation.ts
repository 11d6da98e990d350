// Reads of the chat before a prompt as much as the model may be told.
import type { Broker } from '../../broker/broker.ts';
import { contentChars } from '../../session/agent-limits.ts';
import { readHistory, type HistoryPage, type HistoryRange } from '../../session/history/history.ts';
import type { Agent } from '../agent.ts';
import type { ModelMessage } from '../provider.ts';
import { validConversation, type ChatMessage } from './valid-conversation.ts';

const PAGE_MESSAGES = 64;

/** `range.before`: the place of the run's own answer; everything before it is the conversation, and its prompt the last of it.
 *  @throws BrokerError epoch-changed, corrupt */
export async function readConversation(
  broker: Broker,
  range: HistoryRange,
  agent: Pick<Agent, 'systemPrompt' | 'conversationChars'>,
): Promise<ModelMessage[]> {
  const limits = { systemPrompt: agent.systemPrompt, charsMax: agent.conversationChars };
  let chat: readonly ChatMessage[] = [];
  let chars = 0;
  let { before } = range;
  for (;;) {
    const page: HistoryPage = await readHistory(broker, { ...range, before }, PAGE_MESSAGES);
    chat = [...page.messages, ...chat];
    chars = page.messages.reduce((sum, { content }) => sum + contentChars(content), chars);
    before = page.before;
    // Some of what was read may be left out, so that older messages still fit.
    if (before !== undefined && chars < limits.charsMax) continue;
    const { messages, isFull } = validConversation(chat, limits);
    if (isFull || before === undefined) return messages;
  }
}
