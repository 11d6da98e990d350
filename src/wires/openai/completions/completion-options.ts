// Reads the options for the model of a Chat Completions request.
import { readSampling, readTokensMax, readToolChoice, readTools, type AskedOptions } from '../asked-prompt.ts';
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
export function readCompletionOptions(body: Fields): AskedOptions {
  const reasoningEffort = optionalText(body, 'reasoning_effort');
  return {
    ...readTools(body, functionOf),
    ...readToolChoice(body, chosenTool),
    ...readFormat(body),
    ...readSampling(body),
    ...readTokensMax(body, 'max_completion_tokens', 'max_tokens'),
    ...readStop(body),
    ...readSeed(body),
    ...(reasoningEffort === undefined ? {} : { reasoningEffort }),
  };
}

function functionOf({ function: described }: Fields, param: string): readonly [Fields, string] {
  if (!isFields(described)) throw invalid(`${param}.function`, 'an object');
  return [described, `${param}.function`];
}

function chosenTool({ function: chosen }: Fields): string {
  if (!isFields(chosen)) throw invalid('tool_choice.function', 'an object');
  return requiredText(chosen, 'name', 'tool_choice.function.name');
}

function readFormat(body: Fields): Pick<AskedOptions, 'responseFormat'> {
  const format = given(body, 'response_format');
  if (format === undefined) return {};
  if (!isFields(format)) throw invalid('response_format', 'an object');
  const { type } = format;
  if (type === 'text') return {};
  if (type !== 'json_object' && type !== 'json_schema') throw unsupported('response_format.type');
  return { responseFormat: { ...format, type } };
}

function readStop(body: Fields): Pick<AskedOptions, 'stop'> {
  const stop = given(body, 'stop');
  if (stop === undefined) return {};
  if (typeof stop === 'string' && stop !== '') return { stop };
  if (!Array.isArray(stop)) throw invalid('stop', 'a text or a list of texts');
  const texts = stop.map((text: unknown, i) => {
    if (typeof text !== 'string' || text === '') throw invalid(`stop[${i}]`, 'a text that is not empty');
    return text;
  });
  return texts.length === 0 ? {} : { stop: texts };
}

function readSeed(body: Fields): Pick<AskedOptions, 'seed'> {
  const seed = given(body, 'seed');
  if (seed === undefined) return {};
  if (typeof seed !== 'number' || !Number.isSafeInteger(seed)) throw invalid('seed', 'a whole number');
  return { seed };
}
