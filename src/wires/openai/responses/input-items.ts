// The prompt of a run as an input item of its response.
import type { MessageContent } from '../../../session/events/chat-event.ts';

export interface InputItem {
  readonly id: string;
  readonly type: 'message';
  readonly role: string;
  readonly status: 'completed';
  readonly content: readonly unknown[];
}

export interface ItemList {
  readonly object: 'list';
  readonly data: readonly InputItem[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: false;
}

export function inputItem(messageId: string, role: string, content: MessageContent): InputItem {
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return { id: `msg_${messageId}`, type: 'message', role, status: 'completed', content: parts.map(inputPart) };
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
