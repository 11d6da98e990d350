// The messages of a chat's history as the items of Responses and conversations.
import type { MessageContent, ToolOutcome } from '../../../session/events/chat-event.ts';
import { historyItems, type HistoryMessage } from '../history-items.ts';
import { outputItem, type OutputItem } from './response-items.ts';

export interface InputItem {
  readonly id: string;
  readonly type: 'message' | 'function_call_output';
  readonly status: 'completed';
  readonly [field: string]: unknown;
}

/** `agent`: that executed the calls of an answer. */
export function chatItems(message: HistoryMessage, agent: string): readonly (InputItem | OutputItem)[] {
  return historyItems<InputItem | OutputItem>(message, {
    prompt: (id, { role, content }) => promptItem(id, role, content),
    result: (id, _message, outcome) => resultItem(id, outcome),
    part: (id, _message, part, status) => outputItem(part, { id, status, agent }),
  });
}

function promptItem(id: string, role: string, content: MessageContent): InputItem {
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return { id, type: 'message', role, status: 'completed', content: parts.map(inputPart) };
}

function resultItem(id: string, { toolCallId, result, error }: ToolOutcome): InputItem {
  const output = error ?? (typeof result === 'string' ? result : JSON.stringify(result ?? null));
  return { id, type: 'function_call_output', status: 'completed', call_id: toolCallId, output };
}

/** In the words of Responses. A part of another kind stays as the log has it. */
function inputPart(part: Readonly<Record<string, unknown>>): unknown {
  switch (part['type']) {
    case 'text':
      return { type: 'input_text', text: part['text'] };
    case 'image_url': {
      const { url, detail = 'auto' } = fieldsOf(part['image_url']);
      return { type: 'input_image', image_url: url, detail };
    }
    case 'file':
      return { type: 'input_file', ...fieldsOf(part['file']) };
    default:
      return part;
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
