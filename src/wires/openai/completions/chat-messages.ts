// Reads the messages of a Chat Completions request.
import { textOf, type AskedMessage, type AskedToolCall } from '../asked-prompt.ts';
import { readContent, type ContentPart } from '../prompt-content.ts';
import { given, invalid, isFields, requiredText, unsupported, type Fields } from '../refused-parameter.ts';

/** @throws RefusedParameter */
export function readMessages(messages: unknown): AskedMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) throw invalid('messages', 'a list that is not empty');
  return messages.map((message: unknown, i) => readMessage(message, `messages[${i}]`));
}

function readMessage(message: unknown, param: string): AskedMessage {
  if (!isFields(message)) throw invalid(param, 'an object');
  switch (message['role']) {
    case 'user':
      return { role: 'user', content: readContent(message['content'], `${param}.content`, readPart) };
    case 'system':
    case 'developer':
      return { role: 'system', content: textContent(message, param) };
    case 'assistant':
      return readAnswer(message, param);
    case 'tool':
      return {
        role: 'tool',
        toolCallId: requiredText(message, 'tool_call_id', `${param}.tool_call_id`),
        content: textContent(message, param),
      };
    default:
      throw unsupported(`${param}.role`);
  }
}

/** Reasoning and refusals of an answer are not given to models. */
function readAnswer(message: Fields, param: string): AskedMessage {
  const { content, tool_calls: calls } = message;
  const text = (content ?? '') === '' ? '' : textContent(message, param);
  if ((calls ?? undefined) === undefined) return { role: 'assistant', content: text };
  if (!Array.isArray(calls)) throw invalid(`${param}.tool_calls`, 'a list');
  const toolCalls = calls.map((call: unknown, i) => readCall(call, `${param}.tool_calls[${i}]`));
  return { role: 'assistant', content: text, ...(toolCalls.length === 0 ? {} : { toolCalls }) };
}

function readCall(call: unknown, param: string): AskedToolCall {
  if (!isFields(call) || !isFields(call['function'])) throw invalid(param, 'a call of a function');
  const { function: called } = call;
  if (!isFields(called) || typeof called['arguments'] !== 'string') throw invalid(`${param}.function`, 'a function');
  return {
    toolCallId: requiredText(call, 'id', `${param}.id`),
    toolName: requiredText(called, 'name', `${param}.function.name`),
    arguments: called['arguments'],
  };
}

function textContent(message: Fields, param: string): string {
  // The result of a call may be empty.
  if (message['content'] === '') return '';
  return textOf(readContent(message['content'], `${param}.content`, readTextPart));
}

function readTextPart(part: unknown, param: string): ContentPart {
  if (!isFields(part)) throw invalid(param, 'an object');
  const { type } = part;
  if (type === 'refusal') return { type: 'text', text: requiredText(part, 'refusal', `${param}.refusal`) };
  if (type !== 'text') throw unsupported(`${param}.type`);
  return { type, text: requiredText(part, 'text', `${param}.text`) };
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
