// Reads the conversation before a prompt from the log, as far as the budget of the model allows.
import type { Broker } from '../../broker/broker.ts';
import { contentChars, REFUSALS } from '../../session/agent-limits.ts';
import { readHistory, type HistoryPage, type HistoryRequest } from '../../session/history/history.ts';
import type { Agent } from '../agent.ts';
import { AgentError } from '../agent-error.ts';
import type { ModelMessage } from '../provider.ts';
import { readGivenInstructions } from './given-instructions.ts';
import { validConversation, type ChatMessage } from './valid-conversation.ts';

const PAGE_MESSAGES = 64;
const FAULTS = {
  'unknown-tool-call': 'the answer before this message has no calls with these ids',
  'content-too-large': `${REFUSALS['content-too-large']}, with the calls before it`,
} as const;

/** `range.before`: the offset of the run's own answer. Everything before it is the conversation, and the prompt is
 *  its last message. `instructions`: of the prompt, behind the agent's system prompt.
 *  @throws AgentError unknown-tool-call, content-too-large; BrokerError epoch-changed, corrupt */
export async function readConversation(
  broker: Broker,
  range: HistoryRequest,
  agent: Pick<Agent, 'systemPrompt' | 'conversationChars'>,
  instructions?: string,
): Promise<ModelMessage[]> {
  const systemPrompt = [agent.systemPrompt, instructions]
    .filter((text) => text !== undefined && text.trim() !== '')
    .join('\n\n');
  const limits = { systemPrompt, charsMax: agent.conversationChars };
  let chat: readonly ChatMessage[] = [];
  let chars = 0;
  let { before } = range;
  for (;;) {
    const page: HistoryPage = await readHistory(broker, { ...range, before }, PAGE_MESSAGES);
    chat = [...page.messages, ...chat];
    chars = page.messages.reduce((sum, { content }) => sum + contentChars(content), chars);
    before = page.before;
    // `validConversation` may leave messages out, so that older ones still fit: read until its own budget is spent. A
    // given history is read to its beginning; where the messages behind it have spent the budget, only its system
    // messages are.
    if (before !== undefined && (chars < limits.charsMax || chat[0]?.status === 'given')) continue;
    const { messages, isFull, fault } = validConversation(chat, limits);
    if (!isFull && before !== undefined) continue;
    if (fault !== undefined) throw new AgentError(fault, FAULTS[fault]);
    if (before === undefined) return messages;
    const given = await readGivenInstructions(broker, range);
    return given.length === 0 ? messages : validConversation([...given, ...chat], limits).messages;
  }
}
