// Reads a part of an input, in the words of Responses and of Agents sessions.
import type { ContentPart } from './prompt-content.ts';
import { given, invalid, isFields, optionalText, requiredText, unsupported, type Fields } from './refused-parameter.ts';

/** As the part of a Chat Completions message, which is what models receive. @throws RefusedParameter */
export function readInputPart(part: unknown, param: string): ContentPart {
  if (!isFields(part)) throw invalid(param, 'an object');
  if (given(part, 'file_id') !== undefined) throw unsupported(`${param}.file_id`);
  switch (part['type']) {
    case 'input_text':
    case 'output_text':
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
