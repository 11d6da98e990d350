// Reads the conversation before a prompt from the log, as far as the budget of the model allows.
import type { Broker } from '../../broker/broker.ts';
import { contentChars } from '../../session/agent-limits.ts';
import { readHistory, type HistoryPage, type HistoryRequest } from '../../session/history/history.ts';
import type { Agent } from '../agent.ts';
import type { ModelMessage } from '../provider.ts';
import { validConversation, type ChatMessage } from './valid-conversation.ts';

const PAGE_MESSAGES = 64;

/** `range.before`: the offset of the run's own answer. Everything before it is the conversation, and the prompt is
 *  its last message. @throws BrokerError epoch-changed, corrupt */
export async function readConversation(
  broker: Broker,
  range: HistoryRequest,
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
    // `validConversation` may leave messages out, so that older ones still fit: read until its own budget is spent.
    if (before !== undefined && chars < limits.charsMax) continue;
    const { messages, isFull } = validConversation(chat, limits);
    if (isFull || before === undefined) return messages;
  }
}
