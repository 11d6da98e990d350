// UI messages of the AI SDK: reads the prompt of a request from its last message, and writes the messages of a page of
// history as the client would hold them after it has streamed them. Pure.
import type { JsonObject, MessageContent } from '../../session/events/chat-event.ts';
import { answerParts, type PageInput, type PagePart } from './answer-parts.ts';

type PromptPart = JsonObject & { readonly type: string };

/** Parts of one message, as in the native protocol. */
const PARTS_MAX = 256;

export interface ChatPrompt {
  readonly messageId: string;
  readonly content: string | PromptPart[];
}

/** A refusal names the field of the request. */
export interface Refusal {
  readonly param: string;
  readonly reason: string;
}

/** The last message, which is the only one that counts: the log has the others. */
export function promptOf(messages: readonly unknown[]): ChatPrompt | Refusal {
  const param = `messages[${messages.length - 1}]`;
  const last = messages.at(-1);
  if (!isFields(last)) return { param: 'messages', reason: 'the last message must be the prompt' };
  const { id, role, parts } = last;
  if (role === 'assistant')
    return { param: `${param}.role`, reason: 'an answer of the page has no settled call, and is no prompt' };
  if (role !== 'user') return { param: `${param}.role`, reason: 'the last message must be of the role user' };
  if (typeof id !== 'string' || !/^[A-Za-z0-9_.:-]{1,100}$/.test(id))
    return { param: `${param}.id`, reason: 'the id must be 1 to 100 of A-Z, a-z, 0-9, and _ . : -' };
  if (!Array.isArray(parts)) return { param: `${param}.parts`, reason: 'the message has no parts' };
  if (parts.length > PARTS_MAX)
    return { param: `${param}.parts`, reason: `the message has more than ${PARTS_MAX} parts` };
  const content: PromptPart[] = [];
  for (const [i, part] of parts.entries()) {
    const read = contentPart(part);
    if (typeof read === 'string') return { param: `${param}.parts[${i}]`, reason: read };
    if (read !== undefined) content.push(read);
  }
  if (content.length === 0) return { param: `${param}.parts`, reason: 'the message is empty' };
  const [first] = content;
  // A prompt of one text is stored as text, as native clients send it.
  const isText = content.length === 1 && first?.type === 'text';
  return { messageId: id, content: isText ? String(first['text']) : content };
}

/** A string: the reason why the part is refused. Undefined: the part is for the page only. */
function contentPart(part: unknown): PromptPart | string | undefined {
  if (!isFields(part) || typeof part['type'] !== 'string') return 'the part has no type';
  const { type, text, url, mediaType, filename } = part;
  if (type === 'text') {
    if (typeof text !== 'string') return 'the part has no text';
    return text === '' ? undefined : { type: 'text', text };
  }
  if (type === 'file') {
    if (typeof url !== 'string' || typeof mediaType !== 'string') return 'the file has no url or no mediaType';
    if (mediaType.startsWith('image/')) return { type: 'image_url', image_url: { url } };
    if (!url.startsWith('data:')) return 'a file that is no image must be a data: URL';
    return { type: 'file', file: { ...(typeof filename === 'string' && { filename }), file_data: url } };
  }
  return type.startsWith('data-') ? undefined : 'only text and files can be sent';
}

/** A message of a page of history. */
export interface PageMessage {
  readonly messageId: string;
  readonly role: string;
  readonly content: MessageContent;
  readonly createdAt: string;
  readonly runId?: string;
  readonly usage?: unknown;
  readonly parts?: readonly PagePart[];
  readonly inputs?: readonly PageInput[];
}

export interface UiMessage {
  readonly id: string;
  readonly role: string;
  readonly metadata?: object;
  readonly parts: readonly JsonObject[];
}

/** `attachmentUrl`: the URL of the bytes of an attachment. */
export function uiMessage(
  message: PageMessage,
  hasMetadata: boolean,
  attachmentUrl: (attachmentId: string) => string,
): UiMessage {
  const { messageId: id, role, content, createdAt, runId, usage } = message;
  const metadata = hasMetadata ? { metadata: { createdAt, ...(runId && { runId }), ...(usage ? { usage } : {}) } } : {};
  const parts = role === 'assistant' ? partsOf(message) : promptParts(content, attachmentUrl);
  return { id, role, ...metadata, parts };
}

function partsOf({ content, parts, inputs = [] }: PageMessage): JsonObject[] {
  const whole = typeof content === 'string' && content !== '' ? [{ kind: 'text', text: content }] : [];
  return answerParts(parts ?? whole, inputs);
}

function promptParts(content: MessageContent, attachmentUrl: (attachmentId: string) => string): JsonObject[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return content.flatMap((part): JsonObject[] => {
    const { type, text, image_url: image, file, attachmentId, mediaType, name } = part;
    if (type === 'text') return [{ type: 'text', text }];
    if (type === 'image_url' && isFields(image))
      return [{ type: 'file', mediaType: typeOf(image['url']), url: image['url'] }];
    if (type === 'file' && isFields(file))
      return [
        { type: 'file', mediaType: typeOf(file['file_data']), filename: file['filename'], url: file['file_data'] },
      ];
    if (typeof attachmentId === 'string')
      return [{ type: 'file', mediaType, filename: name, url: attachmentUrl(attachmentId) }];
    // Another kind of part has no form in a UI message.
    return [];
  });
}

/** The media type in a data: URL. An image by another URL is of an unknown type. */
function typeOf(url: unknown): string {
  return /^data:([^;,]+)/.exec(typeof url === 'string' ? url : '')?.[1] ?? 'image/*';
}

function isFields(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
