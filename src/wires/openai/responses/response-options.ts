// Reads the options for the model of a Response.
import {
  readSampling,
  readTokensMax,
  readTool,
  readToolChoice,
  type AskedOptions,
  type AskedTool,
} from '../asked-prompt.ts';
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
    ...readTools(body),
    ...readToolChoice(body, (choice) => requiredText(choice, 'name', 'tool_choice.name')),
    ...readFormat(body),
    ...readSampling(body),
    ...readTokensMax(body, 'max_output_tokens'),
    ...(reasoningEffort === undefined ? {} : { reasoningEffort }),
    ...(instructions === undefined || instructions === '' ? {} : { instructions }),
  };
}

/** Hosted tools would have to be executed here. */
function readTools(body: Fields): Pick<AskedOptions, 'tools'> {
  const tools = given(body, 'tools');
  if (tools === undefined) return {};
  if (!Array.isArray(tools)) throw invalid('tools', 'a list');
  const read = tools.map((tool: unknown, i): AskedTool => {
    if (!isFields(tool)) throw invalid(`tools[${i}]`, 'an object');
    if (tool['type'] !== 'function') throw unsupported(`tools[${i}].type`);
    return readTool(tool, `tools[${i}]`);
  });
  return read.length === 0 ? {} : { tools: read };
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
