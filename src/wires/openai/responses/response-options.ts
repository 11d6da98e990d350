// Reads the options for the model of a Response.
import { readSampling, readTokensMax, readToolChoice, readTools, type AskedOptions } from '../asked-prompt.ts';
import {
  given,
  invalid,
  isFields,
  optionalFields,
  optionalText,
  requiredText,
  unsupported,
  type Fields,
} from '../refused-parameter.ts';

/** @throws RefusedParameter */
export function readResponseOptions(body: Fields): AskedOptions {
  const instructions = optionalText(body, 'instructions');
  const reasoningEffort = optionalText(optionalFields(body, 'reasoning') ?? {}, 'effort', 'reasoning.effort');
  return {
    ...readTools(body, (tool, param) => [tool, param]),
    ...readToolChoice(body, (choice) => requiredText(choice, 'name', 'tool_choice.name')),
    ...readFormat(body),
    ...readSampling(body),
    ...readTokensMax(body, 'max_output_tokens'),
    ...(reasoningEffort === undefined ? {} : { reasoningEffort }),
    ...(instructions === undefined || instructions === '' ? {} : { instructions }),
  };
}

/** In the words of Chat Completions, which model servers receive. */
function readFormat(body: Fields): Pick<AskedOptions, 'responseFormat'> {
  const text = optionalFields(body, 'text') ?? {};
  if ((given(text, 'verbosity') ?? 'medium') !== 'medium') throw unsupported('text.verbosity');
  const format = given(text, 'format');
  if (format === undefined) return {};
  if (!isFields(format)) throw invalid('text.format', 'an object');
  const { type, ...schema } = format;
  if (type === 'text') return {};
  if (type === 'json_object') return { responseFormat: { type } };
  if (type !== 'json_schema') throw unsupported('text.format.type');
  return { responseFormat: { type, json_schema: schema } };
}
