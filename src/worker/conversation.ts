// What the model is told: the system prompt and as much of the conversation before a prompt as the budget
// holds, newest first, whole messages only. The prompt itself is always there.
import type { Broker } from '../broker/broker.ts';
import { contentChars } from '../session/agent-terms.ts';
import { readHistory, type HistoryRange } from '../session/history.ts';
import type { TranscriptMessage } from '../session/transcript.ts';
import type { Agent } from './agent.ts';
import type { ContentPart, ModelMessage } from './provider.ts';

const PAGE_MESSAGES = 64;

/** `range.before`: the place of the run's own answer; everything said before it is the conversation.
 *  @throws BrokerError epoch-changed, corrupt */
export async function readConversation(broker: Broker, range: HistoryRange, agent: Agent): Promise<ModelMessage[]> {
  const system: ModelMessage[] = agent.systemPrompt === undefined ? [] : [{ role: 'system', content: agent.systemPrompt }];
  let budget = agent.conversationChars - (agent.systemPrompt?.length ?? 0);
  const newestFirst: ModelMessage[] = [];
  let { before } = range;
  while (before !== undefined) {
    const page: Awaited<ReturnType<typeof readHistory>> = await readHistory(broker, { ...range, before }, PAGE_MESSAGES);
    for (const message of page.messages.toReversed()) {
      const told = toModelMessage(message);
      if (told === undefined) continue;
      budget -= contentChars(told.content);
      if (budget < 0 && newestFirst.length > 0) return [...system, ...newestFirst.reverse()];
      newestFirst.push(told);
    }
    before = page.before;
  }
  return [...system, ...newestFirst.reverse()];
}

/** A prompt that was withdrawn was never said; an answer that broke off was, as far as it got. */
function toModelMessage(message: TranscriptMessage): ModelMessage | undefined {
  if (message.role === 'assistant') return message.content === '' ? undefined : { role: 'assistant', content: message.content as string };
  if (message.status === 'cancelled') return undefined;
  // Content parts were validated at the edge and are handed on as they came.
  return { role: message.role, content: message.content as string | readonly ContentPart[] };
}
