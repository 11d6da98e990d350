// Reads the messages of a Chat Completions request: the last one is the prompt.
import { given, invalid, isFields, requiredText, unsupported } from './refused-parameter.ts';

export interface ContentPart {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The content of a prompt, as the native protocol takes it. */
export type PromptContent = string | ContentPart[];

/** As many as the native protocol accepts in one prompt. */
const CONTENT_PARTS_MAX = 256;

/** The content of the message that the request adds. @throws RefusedParameter */
export function readPrompt(messages: unknown): PromptContent {
  if (!Array.isArray(messages) || messages.length === 0) throw invalid('messages', 'a list that is not empty');
  const last = messages.length - 1;
  const param = `messages[${last}]`;
  const message: unknown = messages[last];
  if (!isFields(message)) throw invalid(param, 'an object');
  if (message['role'] !== 'user') throw invalid(`${param}.role`, 'user: the last message is the prompt');
  return readContent(message['content'], `${param}.content`);
}

/** @throws RefusedParameter */
function readContent(content: unknown, param: string): PromptContent {
  if (typeof content === 'string' && content !== '') return content;
  if (!Array.isArray(content) || content.length === 0)
    throw invalid(param, 'a text or a list of parts that is not empty');
  if (content.length > CONTENT_PARTS_MAX) throw invalid(param, `a list of at most ${CONTENT_PARTS_MAX} parts`);
  return content.map((part: unknown, i) => readPart(part, `${param}[${i}]`));
}

const PART_FIELDS: ReadonlyMap<string, string> = new Map([
  ['text', 'text'],
  ['image_url', 'image_url'],
  ['input_audio', 'input_audio'],
  ['file', 'file'],
]);

function readPart(part: unknown, param: string): ContentPart {
  if (!isFields(part)) throw invalid(param, 'an object');
  const type = requiredText(part, 'type', `${param}.type`);
  const field = PART_FIELDS.get(type);
  if (field === undefined) throw unsupported(`${param}.type`);
  const value = given(part, field);
  if (field === 'text' ? typeof value !== 'string' : !isFields(value))
    throw invalid(`${param}.${field}`, field === 'text' ? 'a string' : 'an object');
  // The server keeps no files of this API. Attachments of a chat are part of the native protocol.
  if (isFields(value) && value['file_id'] !== undefined) throw unsupported(`${param}.file.file_id`);
  return { ...part, type };
}
