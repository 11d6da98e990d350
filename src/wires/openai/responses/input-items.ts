// The prompt of a run as the input items of its response.
import type { MessageContent, ToolOutcome } from '../../../session/events/chat-event.ts';

export interface InputItem {
  readonly id: string;
  readonly type: 'message' | 'function_call_output';
  readonly status: 'completed';
  readonly [field: string]: unknown;
}

/** A prompt of the log: a message, or what calls of the answer before gave. */
export interface Prompt {
  readonly messageId: string;
  readonly role: string;
  readonly content: MessageContent;
  readonly toolResults?: readonly ToolOutcome[];
}

export interface ItemList {
  readonly object: 'list';
  readonly data: readonly InputItem[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: false;
}

export function inputItems({ messageId, role, content, toolResults = [] }: Prompt): InputItem[] {
  const results = toolResults.map((outcome, i) => resultItem(`fco_${messageId}_${i}`, outcome));
  if (role === 'tool') return results;
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  const message = { id: `msg_${messageId}`, role, status: 'completed', content: parts.map(inputPart) } as const;
  return [...results, { ...message, type: 'message' }];
}

function resultItem(id: string, { toolCallId, result, error }: ToolOutcome): InputItem {
  const output = error ?? (typeof result === 'string' ? result : JSON.stringify(result ?? null));
  return { id, type: 'function_call_output', status: 'completed', call_id: toolCallId, output };
}

/** A whole list: it has no further page. */
export function itemList(data: readonly InputItem[]): ItemList {
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: false };
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
