// A prompt of the log as a message of A2A. Content parts that A2A has no word for are data parts. [A2A §4.1.4]
import type { JsonObject, MessageContent } from '../../session/events/chat-event.ts';
import { encodeRunName, type RunName } from '../run-name.ts';

export function promptMessage(ref: RunName, messageId: string, content: MessageContent): unknown {
  return {
    messageId,
    contextId: ref.sessionId,
    taskId: encodeRunName(ref),
    role: 'ROLE_USER',
    parts: typeof content === 'string' ? [{ text: content }] : content.map(partOf),
  };
}

function partOf(part: JsonObject): unknown {
  return part['type'] === 'text' && typeof part['text'] === 'string' ? { text: part['text'] } : { data: part };
}
