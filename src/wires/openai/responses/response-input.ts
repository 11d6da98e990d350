// Reads the input of a Response: a text, or a list of one message of the user.
import { readContent, type ContentPart, type PromptContent } from '../prompt-content.ts';
import {
  given,
  invalid,
  isFields,
  optionalText,
  requiredText,
  unsupported,
  type Fields,
} from '../refused-parameter.ts';

/** @throws RefusedParameter */
export function readInput(input: unknown): PromptContent {
  if (typeof input === 'string' && input !== '') return input;
  if (!Array.isArray(input) || input.length === 0) throw invalid('input', 'a text or a list that is not empty');
  if (input.length > 1) throw invalid('input', 'one message: the chat of the conversation has the others');
  const item: unknown = input[0];
  if (!isFields(item)) throw invalid('input[0]', 'an object');
  if ((given(item, 'type') ?? 'message') !== 'message') throw unsupported('input[0].type');
  if (item['role'] !== 'user') throw invalid('input[0].role', 'user: the input is a prompt');
  return readContent(item['content'], 'input[0].content', readPart);
}

/** As the part of a Chat Completions message, which is what models receive. */
function readPart(part: unknown, param: string): ContentPart {
  if (!isFields(part)) throw invalid(param, 'an object');
  if (given(part, 'file_id') !== undefined) throw unsupported(`${param}.file_id`);
  switch (part['type']) {
    case 'input_text':
      return { type: 'text', text: requiredText(part, 'text', `${param}.text`) };
    case 'input_image':
      return { type: 'image_url', image_url: imageOf(part, param) };
    case 'input_file':
      return { type: 'file', file: fileOf(part, param) };
    default:
      throw unsupported(`${param}.type`);
  }
}

function imageOf(part: Fields, param: string): Fields {
  const url = requiredText(part, 'image_url', `${param}.image_url`);
  const detail = optionalText(part, 'detail', `${param}.detail`);
  return { url, ...(detail === undefined ? {} : { detail }) };
}

function fileOf(part: Fields, param: string): Fields {
  if (given(part, 'file_url') !== undefined) throw unsupported(`${param}.file_url`);
  const filename = optionalText(part, 'filename', `${param}.filename`);
  const file_data = requiredText(part, 'file_data', `${param}.file_data`);
  return { file_data, ...(filename === undefined ? {} : { filename }) };
}
