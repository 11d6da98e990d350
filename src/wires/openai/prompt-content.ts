// The content of a prompt, as the native protocol takes it: a text, or a list of parts.
import { invalid } from './refused-parameter.ts';

export interface ContentPart {
  readonly type: string;
  readonly [field: string]: unknown;
}

export type PromptContent = string | ContentPart[];

/** As many as the native protocol accepts in one prompt. */
const CONTENT_PARTS_MAX = 256;

/** `readPart` reads a part in the words of its API. @throws RefusedParameter */
export function readContent(
  content: unknown,
  param: string,
  readPart: (part: unknown, param: string) => ContentPart,
): PromptContent {
  if (typeof content === 'string' && content !== '') return content;
  if (!Array.isArray(content) || content.length === 0)
    throw invalid(param, 'a text or a list of parts that is not empty');
  if (content.length > CONTENT_PARTS_MAX) throw invalid(param, `a list of at most ${CONTENT_PARTS_MAX} parts`);
  return content.map((part: unknown, i) => readPart(part, `${param}[${i}]`));
}
