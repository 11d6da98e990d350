// Reads the messages of a Chat Completions request: the last one is the prompt.
import { readContent, type ContentPart, type PromptContent } from '../prompt-content.ts';
import { given, invalid, isFields, requiredText, unsupported } from '../refused-parameter.ts';

/** The content of the message that the request adds. @throws RefusedParameter */
export function readPrompt(messages: unknown): PromptContent {
  if (!Array.isArray(messages) || messages.length === 0) throw invalid('messages', 'a list that is not empty');
  const last = messages.length - 1;
  const param = `messages[${last}]`;
  const message: unknown = messages[last];
  if (!isFields(message)) throw invalid(param, 'an object');
  if (message['role'] !== 'user') throw invalid(`${param}.role`, 'user: the last message is the prompt');
  return readContent(message['content'], `${param}.content`, readPart);
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
